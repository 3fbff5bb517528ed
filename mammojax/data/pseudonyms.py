"""Names for subjects that cannot be traced back without a key.

    make_key('~/mammojax.key')                     # once, 0600
    key = load_key('~/mammojax.key', workdir='runs/mine')
    pseudonym('12345678', key)                     # 32 hexadecimal digits

A plain hash of eight digits is undone by trying all of them; with a key that
stays with its owner it is not. The same key gives the same pseudonyms, so
tables made at different times fit together.
"""

from collections.abc import Iterable
import datetime
import hashlib
import hmac
import os
import pathlib
import secrets

from mammojax import errors

_MIN_BYTES = 16
_DIGITS = 32


def make_key(path: str | os.PathLike[str]) -> None:
  """Writes a new random key, readable by its owner only.

  Args:
    path: a file that does not exist yet.

  Raises:
    UsageError: it exists, or cannot be written.
  """
  target = pathlib.Path(path).expanduser()
  flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
  try:
    with os.fdopen(os.open(target, flags, 0o600), 'w') as file:
      file.write(secrets.token_hex(32) + '\n')
  except OSError as error:
    raise errors.UsageError(
      f'The key {str(target)!r} cannot be written: {error.strerror}. An old key'
      ' is never replaced: its pseudonyms would be lost.'
    ) from error


def load_key(
  path: str | os.PathLike[str],
  *,
  workdir: str | os.PathLike[str] | None = None,
) -> bytes:
  """Reads a key that lies outside of what is handed on.

  Args:
    path: file of at least 16 bytes; white space around them does not count.
    workdir: folder of the run; None where nothing is handed on.

  Returns:
    the key.

  Raises:
    UsageError: no such file, inside the workdir, open to other users, or too
      short. The key is never shown.
  """
  target = pathlib.Path(path).expanduser().resolve()
  if workdir is not None and target.is_relative_to(
    pathlib.Path(workdir).expanduser().resolve()
  ):
    raise errors.UsageError(
      f'The key {str(target)!r} lies inside the workdir, which is handed on;'
      ' move it elsewhere.'
    )
  try:
    mode = target.stat().st_mode
    key = target.read_bytes().strip()
  except OSError as error:
    raise errors.UsageError(
      f'The key {str(target)!r} cannot be read: {error.strerror}. Make one with'
      ' mammojax.data.pseudonyms.make_key(path).'
    ) from error
  if mode & 0o077:
    raise errors.UsageError(
      f'The key {str(target)!r} is open to other users; chmod 600 it.'
    )
  if len(key) < _MIN_BYTES:
    raise errors.UsageError(
      f'The key {str(target)!r} has {len(key)} bytes; at least {_MIN_BYTES} are'
      ' needed.'
    )
  return key


def pseudonym(subject: str, key: bytes) -> str:
  """HMAC-SHA256 of a subject under a key, its first 128 bits.

  Args:
    subject: the id; spaces around it do not count.
    key: see `load_key`.

  Returns:
    32 hexadecimal digits.

  Source: RFC 2104; NIST SP 800-107, section 5.1 on truncation.
  """
  text = subject.strip().encode('utf-8')
  return hmac.new(key, text, hashlib.sha256).hexdigest()[:_DIGITS]


def days_since_first(
  subjects: Iterable[str], dates: Iterable[datetime.date | None]
) -> list[int | None]:
  """Dates as days since the first exam of the same subject.

  Args:
    subjects: whose exam it is.
    dates: of the exams; None when unknown.

  Returns:
    days from 0; None where the date is.
  """
  exams = list(zip(subjects, dates, strict=True))
  first: dict[str, datetime.date] = {}
  for subject, date in exams:
    if date is not None:
      first[subject] = min(date, first.get(subject, date))
  return [
    None if date is None else (date - first[subject]).days
    for subject, date in exams
  ]
