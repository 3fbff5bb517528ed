"""What a run ran on: Python, packages, devices, source, command line.

record = environment.describe(sys.argv, [str(d) for d in jax.devices()])
"""

from collections.abc import Sequence
import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

PACKAGES = (
  'mammojax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'clu',
  'grain', 'ml-collections', 'numpy', 'pandas', 'scipy', 'scikit-learn',
  'opencv-python-headless', 'tensorboardX', 'rich',
)  # fmt: skip

_GIT_TIMEOUT_S = 10


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
  try:
    done = subprocess.run(
      ['git', '-C', str(folder), *arguments],
      capture_output=True,
      text=True,
      timeout=_GIT_TIMEOUT_S,
      check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return done.stdout.strip()


def git_state(folder) -> dict[str, Any] | None:
  """The commit of the source tree around `folder`.

  Returns:
    {'commit': str, 'dirty': bool}; None where there is no git, no commit,
    or the folder is not part of what that tree tracks (an installed package
    inside somebody else's repository).
  """
  folder = pathlib.Path(folder)
  commit = _git(folder, 'rev-parse', 'HEAD')
  if not commit or not _git(folder, 'ls-files', '.'):
    return None
  status = _git(folder, 'status', '--porcelain', '--untracked-files=no')
  return {'commit': commit, 'dirty': bool(status)}


def without_home(text: str) -> str:
  """`text` with the home folder written as ~: it holds the user's name."""
  home = os.path.expanduser('~').rstrip(os.sep)
  if not home or home == '~':
    return text
  return text.replace(home + os.sep, '~' + os.sep)


def describe(
  command: Sequence[str], devices: Sequence[str] = ()
) -> dict[str, Any]:
  """JSON-able record of the surroundings of this process.

  Args:
    command: argv.
    devices: names of the devices, given by the caller: asking JAX here would
      start its backends.

  Returns:
    Dict with python, platform, cpu_count, packages, devices, git, command
    and started_utc (ISO 8601).
  """
  now = datetime.datetime.now(datetime.UTC)
  versions = {package: _version(package) for package in PACKAGES}
  return {
    'python': platform.python_version(),
    'platform': platform.platform(),
    'cpu_count': os.cpu_count(),
    'packages': {name: v for name, v in versions.items() if v is not None},
    'devices': [str(device) for device in devices],
    'git': git_state(pathlib.Path(__file__).parent),
    'command': [without_home(str(argument)) for argument in command],
    'started_utc': now.isoformat(timespec='seconds'),
  }
