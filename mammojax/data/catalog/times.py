"""Dates as months since the first exam of the same subject.

No date is written into a table: how far two exams are apart is all that
matching needs.
"""

from collections.abc import Iterable
import datetime

from mammojax.data import pseudonyms

DAYS_PER_MONTH = 365.25 / 12


def months_since_first(
  subjects: Iterable[str], dates: Iterable[datetime.date | None]
) -> list[str]:
  """The column `visit_months`.

  Args:
    subjects: whose exam it is.
    dates: of the exams; None when unknown.

  Returns:
    months with two decimals, '0.00' at the first exam; '' where the date is
    unknown.
  """
  days = pseudonyms.days_since_first(subjects, dates)
  return ['' if d is None else f'{d / DAYS_PER_MONTH:.2f}' for d in days]


def day(text: str) -> datetime.date | None:
  """The day of an ISO date, with or without a time after it.

  Args:
    text: such as 2013-05-06, 2013-05-06 00:00:00 or 20130506.

  Returns:
    the day; None when it is none.
  """
  try:
    return datetime.datetime.fromisoformat(text).date()
  except ValueError:
    return None
