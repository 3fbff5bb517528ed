"""Files of weights from the Hugging Face Hub, fetched when they are named.

    hf://owner/repo                 its model.safetensors
    hf://owner/repo/weights.h5      another file of it
    hf://owner/repo@revision        a commit, branch or tag

Nothing is fetched at import; the file stays in the cache of huggingface_hub.
"""

import pathlib
import re

from mammojax import errors

PREFIX = 'hf://'
_PLACE = re.compile(
  r'hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?'
)
_FILE = 'model.safetensors'


def split(location: str) -> tuple[str, str | None, str]:
  """Repository, revision and file of a location.

  Args:
    location: 'hf://owner/repo[@revision][/file]'.

  Returns:
    (repository, revision or None, file).

  Raises:
    UsageError: it is written otherwise.
  """
  match = _PLACE.fullmatch(location)
  if match is None or '..' in location:
    raise errors.UsageError(
      f'{location!r} is no file of the Hub; write '
      'hf://owner/repo[@revision][/file].'
    )
  return match['repo'], match['revision'], match['file'] or _FILE


def fetch(location: str) -> pathlib.Path:
  """The path of a file, downloaded unless it is in the cache.

  Args:
    location: see `split`.

  Raises:
    UsageError: huggingface_hub is not installed, or there is no such file.
    ResourceError: the network or the disk does not allow it.
  """
  repo, revision, name = split(location)
  try:
    import huggingface_hub
    from huggingface_hub import errors as hub_errors
  except ImportError as error:
    raise errors.UsageError(
      f"{location!r} needs huggingface_hub: pip install 'mammojax[hub]'. Or "
      'fetch the file yourself and give its path.'
    ) from error
  try:
    return pathlib.Path(
      huggingface_hub.hf_hub_download(repo, name, revision=revision)
    )
  except (
    hub_errors.RepositoryNotFoundError,
    hub_errors.RevisionNotFoundError,
    hub_errors.EntryNotFoundError,
  ) as error:
    # Without a network, what is not in the cache is not found either.
    if not isinstance(error, hub_errors.LocalEntryNotFoundError):
      raise errors.UsageError(
        f'{location!r}: no file {name!r} in {repo!r}, or no right to see it. '
        'Look at the list of its files, and name one after the repository. '
        f'({_first_line(error)})'
      ) from error
    raise _unreachable(location, error) from error
  except (OSError, hub_errors.HfHubHTTPError) as error:
    raise _unreachable(location, error) from error


def _unreachable(location, error) -> errors.ResourceError:
  return errors.ResourceError(
    f'{location!r} could not be fetched: {_first_line(error)} Without a '
    'network, bring the file by other means and give its path.'
  )


def _first_line(error: BaseException) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0]
