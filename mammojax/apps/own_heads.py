"""What a run's loss trained beside the network, asked about embeddings.

    params = own_heads.params(workdir)
    own_heads.different(params, first, second, hidden=(128,))

A classifier has a dense layer to logits, a Siamese run dense layers from two
embeddings to one logit; other losses have nothing of the kind.
"""

from collections.abc import Mapping, Sequence
import os
from typing import Any

import jax
import numpy as np

from mammojax.metrics import choosing
from mammojax.models import heads
from mammojax.training import state as state_lib
from mammojax.training import transfer


def params(workdir: str | os.PathLike[str]) -> dict[str, Any]:
  """Parameters of the loss of a run's best checkpoint; {} where it has none.

  Raises:
    UsageError: the folder holds no checkpoint.
    IntegrityError: all are damaged.
  """
  found, _ = transfer.best(str(workdir), '--workdir')
  return jax.tree.map(np.asarray, found['params'].get(state_lib.LOSS, {}))


def called(
  params: Mapping[str, Any], embeddings: np.ndarray, names: Sequence[str]
) -> np.ndarray:
  """The class of the largest logit, str[n].

  Args:
    params: of loss.name='cross_entropy'.
    embeddings: float32[n, d].
    names: of the logits.
  """
  head = heads.Mlp(hidden=(), dim=len(names))
  logits = head.apply({'params': params}, embeddings, train=False)
  return np.asarray(names)[np.argmax(np.asarray(logits), axis=1)]


def different(
  params: Mapping[str, Any],
  first: np.ndarray,
  second: np.ndarray,
  hidden: Sequence[int],
) -> np.ndarray:
  """Probability that two images are not the same, float64[n].

  It takes the place of a distance: smaller is closer.

  Args:
    params: of loss.name='siamese'.
    first: float32[n, d].
    second: float32[n, d].
    hidden: widths of its layers, `loss.options.siamese.hidden`.
  """
  head = heads.Mlp(hidden=tuple(hidden), dim=1)
  both = np.concatenate([first, second], axis=1)
  logits = head.apply({'params': params}, both, train=False)
  return choosing.probability(-np.asarray(logits)[:, 0])
