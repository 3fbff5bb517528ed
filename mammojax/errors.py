"""Errors that a user can act on, each with the exit code it ends with.

A message says what is wrong, where (file, row, field), why, and what to do.
The command line prints the message alone and exits with `exit_code`; code that
imports the library catches the class.
"""

from collections.abc import Iterable
import difflib


class MammojaxError(Exception):
  """Base of every error that is the fault of input or surroundings."""

  exit_code = 1


class UsageError(MammojaxError, ValueError):
  """A flag, a config field or a name that is not known or not allowed."""

  exit_code = 2


class DataError(MammojaxError):
  """A table, an image or a set of embeddings that cannot be used."""

  exit_code = 3


class IntegrityError(MammojaxError):
  """A leak between splits, a damaged checkpoint, files that do not match."""

  exit_code = 4


class ResourceError(MammojaxError):
  """Disk or memory that does not suffice."""

  exit_code = 5


class NumericsError(MammojaxError):
  """Losses or gradients that stopped being finite."""

  exit_code = 6


class Stopped(MammojaxError):
  """A signal ended the run after its state was saved."""

  exit_code = 75


def unknown(kind: str, name: object, known: Iterable[str]) -> UsageError:
  """An error for a name that is not in a registry.

  Args:
    kind: what was asked for, such as 'loss'.
    name: the name that was given.
    known: the names that exist.

  Returns:
    UsageError naming the nearest known name and listing all of them.
  """
  names = sorted(known)
  near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
  hint = f' Did you mean {near[0]!r}?' if near else ''
  return UsageError(
    f'Unknown {kind} {name!r}.{hint} Known: {", ".join(names)}.'
  )
