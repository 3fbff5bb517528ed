"""Heads on frozen embeddings, each of which gives one logit an image.

    head = probes.fit(
      'linear', embeddings, positive, splits, class_weight='balanced')
    logits = probes.logits(head, embeddings)

A head is plain arrays and options, so that it is written as safetensors and
JSON. What is chosen about a head (C, k, the epoch) is chosen by scores of the
validation split.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flax import traverse_util
import jax
import numpy as np
from sklearn import linear_model, neighbors
from sklearn import metrics as sk_metrics

from mammojax import errors
from mammojax.apps import dense, fitting
from mammojax.metrics import choosing
from mammojax.models import heads

CLASS_WEIGHTS = ('none', 'balanced')
# From strong to weak regularisation, and from many neighbours to few: of
# equally good ones the simpler is taken.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
_NEIGHBOURS = (51, 21, 11, 5, 3, 1)
_HIDDEN = (128, 32)


class Head(NamedTuple):
  """A head that was fitted.

  Attributes:
    kind: key of HEADS.
    options: what was set and chosen, JSON values.
    arrays: name -> float32 array.
    curves: of 'mlp', name -> float[epochs]; {} of others.
  """

  kind: str
  options: dict[str, Any]
  arrays: dict[str, np.ndarray]
  curves: dict[str, list[float]]


def fit(
  kind: str,
  embeddings: np.ndarray,
  positive: np.ndarray,
  splits: np.ndarray,
  *,
  class_weight: str = 'none',
  epochs: int = 50,
  seed: int = 0,
  choose_on: str = 'validation',
) -> Head:
  """Fits a head on the images of 'train'.

  'linear': logistic regression on standardised embeddings, its C chosen.
  'knn': log-odds of the votes of the k nearest by cosine, k chosen.
  'mlp': three dense layers and a sigmoid on standardised embeddings, binary
  cross-entropy, Adam; the epoch of the least loss, weighted as in training, is
  kept. C and k are chosen by the AUC.

  Args:
    kind: key of FITS.
    embeddings: float32[n, d].
    positive: bool[n].
    splits: str[n], of `choosing.SPLITS`.
    class_weight: 'none', or 'balanced': each class counts as much.
    epochs: of 'mlp'.
    seed: of 'mlp'.
    choose_on: the split whose scores choose.

  Returns:
    Head.

  Raises:
    IntegrityError: choose_on is 'test'.
    UsageError: an unknown name, or shapes that differ.
    DataError: embeddings that are not finite, or a split without both classes.

  Source: 001 in the design notes, three dense layers on frozen embeddings.
  Differs: the embeddings are standardised by those of 'train', and the best
    epoch is kept.
  """
  if kind not in FITS:
    raise errors.unknown('head', kind, FITS)
  if class_weight not in CLASS_WEIGHTS:
    raise errors.unknown('class_weight', class_weight, CLASS_WEIGHTS)
  choosing.refuse_test(choose_on, 'anything about a head')
  data = fitting.examples(embeddings, positive, splits, class_weight, choose_on)
  return FITS[kind](data, epochs, seed)


def logits(head: Head, embeddings: np.ndarray) -> np.ndarray:
  """What a head says, float64[n] for float32[n, d].

  Raises:
    IntegrityError: embeddings of another length than it was fitted on.
  """
  dim = head.options['dim']
  if embeddings.ndim != 2 or embeddings.shape[1] != dim:
    raise errors.IntegrityError(
      f'The head is of embeddings of {dim} values, got {embeddings.shape}.'
    )
  return HEADS[head.kind](head.options, head.arrays, embeddings)


def _best(scores: Mapping[Any, np.ndarray], y: np.ndarray) -> tuple[Any, dict]:
  """The first name of the largest AUC, and the AUC of each."""
  areas = {k: float(sk_metrics.roc_auc_score(y, s)) for k, s in scores.items()}
  return max(areas, key=areas.__getitem__), areas


def _fit_linear(data: fitting.Examples, epochs: int, seed: int) -> Head:
  del epochs, seed
  standard = fitting.standard(data.x)
  x = fitting.standardised(standard, data.x)
  candidates = {}
  for strength in _STRENGTHS:
    model = linear_model.LogisticRegression(C=strength, max_iter=5000)
    model.fit(x, data.y, sample_weight=data.weight)
    candidates[strength] = standard | {
      'weight': model.coef_[0].astype(np.float32),
      'bias': model.intercept_.astype(np.float32),
    }
  chosen, areas = _best(
    {c: _linear({}, arrays, data.x_choice) for c, arrays in candidates.items()},
    data.y_choice,
  )
  options = {'dim': data.x.shape[1], 'c': chosen}
  options['validation_auc'] = {f'{c:g}': area for c, area in areas.items()}
  return Head('linear', options, candidates[chosen], {})


def _linear(options, arrays, x) -> np.ndarray:
  del options
  score = fitting.standardised(arrays, x) @ arrays['weight'] + arrays['bias']
  return score.astype(np.float64)


def _fit_knn(data: fitting.Examples, epochs: int, seed: int) -> Head:
  del epochs, seed
  arrays = {
    'embeddings': data.x,
    'positive': data.y.astype(np.float32),
    'weight': data.weight,
  }
  sizes = [k for k in _NEIGHBOURS if k <= len(data.x)]
  chosen, areas = _best(
    {k: _knn({'k': k}, arrays, data.x_choice) for k in sizes}, data.y_choice
  )
  options = {'dim': data.x.shape[1], 'k': chosen}
  options['validation_auc'] = {str(k): area for k, area in areas.items()}
  return Head('knn', options, arrays, {})


def _knn(options, arrays, x) -> np.ndarray:
  search = neighbors.NearestNeighbors(
    n_neighbors=options['k'], metric='cosine', algorithm='brute'
  ).fit(arrays['embeddings'])
  near = search.kneighbors(x, return_distance=False)
  weight = arrays['weight'][near].astype(np.float64)
  votes = (weight * arrays['positive'][near]).sum(axis=1)
  # Half a vote for each class keeps the odds of a united vote finite.
  return np.log(votes + 0.5) - np.log(weight.sum(axis=1) - votes + 0.5)


def _fit_mlp(data: fitting.Examples, epochs: int, seed: int) -> Head:
  if epochs < 1:
    raise errors.UsageError(f'epochs must be at least 1, got {epochs}.')
  standard = fitting.standard(data.x)
  x, x_choice = (
    fitting.standardised(standard, v) for v in (data.x, data.x_choice)
  )
  model = heads.Mlp(_HIDDEN, 1)
  params = model.init(jax.random.key(seed), x[:1], train=False)['params']
  best, curves = dense.train(
    model,
    params,
    (x, data.y.astype(np.float32), data.weight),
    (x_choice, data.y_choice.astype(np.float32), data.weight_choice),
    dense.orders(len(x), epochs, seed),
  )
  named = traverse_util.flatten_dict(best, sep='/')
  arrays = standard | {name: np.asarray(leaf) for name, leaf in named.items()}
  epoch = int(np.argmin(curves['validation_loss'])) + 1
  options = {
    'dim': x.shape[1],
    'hidden': list(_HIDDEN),
    'epochs': epochs,
    'epoch': epoch,
    'learning_rate': dense.LEARNING_RATE,
    'batch_size': dense.BATCH,
    'seed': seed,
  }
  lists = {k: np.asarray(v, np.float64).tolist() for k, v in curves.items()}
  return Head('mlp', options, arrays, lists)


def _mlp(options, arrays, x) -> np.ndarray:
  named = {k: v for k, v in arrays.items() if k not in ('mean', 'spread')}
  params = traverse_util.unflatten_dict(named, sep='/')
  model = heads.Mlp(tuple(options['hidden']), 1)
  found = model.apply(
    {'params': params}, fitting.standardised(arrays, x), train=False
  )
  return np.asarray(found, np.float64)[:, 0]


def _own(options, arrays, x) -> np.ndarray:
  del options, arrays
  return x[:, 0].astype(np.float64)


def _fused(options, arrays, x) -> np.ndarray:
  """Of `fusion.fit`: the logits of two heads, weighted and added."""
  dim, (image, known, bias) = options['image_dim'], options['weights']
  first, second = (
    {
      name.removeprefix(prefix): array
      for name, array in arrays.items()
      if name.startswith(prefix)
    }
    for prefix in ('image/', 'known/')
  )
  return (
    image * HEADS[options['image']](options, first, x[:, :dim])
    + known * _linear({}, second, x[:, dim:])
    + bias
  )


# kind -> (data, epochs, seed) to a Head.
FITS = {'mlp': _fit_mlp, 'linear': _fit_linear, 'knn': _fit_knn}
# kind -> (options, arrays, embeddings) to logits.
HEADS = {
  'mlp': _mlp,
  'linear': _linear,
  'knn': _knn,
  'own': _own,
  'fused': _fused,
}
# Of a network that gives the logit itself.
OWN = Head('own', {'dim': 1}, {}, {})
