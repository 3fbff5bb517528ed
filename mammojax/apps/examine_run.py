"""Examines the network of a finished run on the run's own table.

    summary = examine_run.run('runs/triplet', 'runs/triplet/examine')

Writes `examine.json`, the numbers, and `examine.npz`, what pictures need.
"""

import io
import os
import pathlib
import tempfile
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from mammojax import errors
from mammojax.apps import classifiers, classify, comparing, examine, own_heads
from mammojax.data import torn
from mammojax.metrics import verification
from mammojax.training import evaluate, inputs, saved
from mammojax.training import workdir as workdirs

RESULTS, ARRAYS = 'examine.json', 'examine.npz'
# Pairs and triplets in a picture, by chance and wrong ones each.
_PAIRS, _TRIPLETS = 8, 6
_BINS = 80
# Float32 values of raw pixels that are held at once.
_MOST_VALUES = 2**29


class _Run(NamedTuple):
  """A run, and what its network makes of its images."""

  config: ml_collections.ConfigDict
  images: Any
  question: examine.Question
  embeddings: np.ndarray
  head: dict[str, Any]


def run(
  workdir: str | os.PathLike[str],
  out: str | os.PathLike[str],
  *,
  distance: str = '',
  k: int = 10,
  pixels: bool = True,
  draws: int = 2000,
  galleries: int = 20,
  seed: int = 0,
) -> dict[str, Any]:
  """Embeds every image of a run's table, measures, and writes two files.

  Args:
    workdir: folder of a finished run.
    out: folder for the files; it exists.
    distance: a key of comparing.METRICS; '': that of the run's loss.
    k: neighbours that vote.
    pixels: measure raw pixels by cosine, too.
    draws: resamples for the intervals.
    galleries: draws of enrolled images.
    seed: of all draws.

  Returns:
    what examine.json holds: 'network' and 'pixels', each of
    `examine.measure`; 'own_head', see `own`; and what they are of.

  Raises:
    UsageError: no folder of a run, an unknown distance, or too many pixels.
    DataError: images without a diagnosis, or that cannot be read.
    IntegrityError: damaged checkpoints.
  """
  found = _load(workdir, seed)
  distance = distance or found.config.loss.distance
  comparing.check(distance)
  options = {'k': k, 'draws': draws, 'galleries': galleries}
  question = found.question
  summary: dict[str, Any] = {
    'classes': question.groups['all'],
    'held_out': question.groups.get('held_out', []),
    'images': {
      str(name): int(count)
      for name, count in zip(
        *np.unique(question.splits, return_counts=True), strict=True
      )
    },
    'embedding_dim': found.embeddings.shape[1],
    'loss': found.config.loss.name,
    'seed': seed,
    'galleries': galleries,
    'intervals_resample': question.resampled,
    'definitions': examine.DEFINITIONS,
    'network': examine.measure(
      question, found.embeddings, distance=distance, **options
    ),
    'own_head': _own(found, draws),
    'pixels': None,
  }
  if pixels:
    summary['pixels'] = examine.measure(
      question,
      _pixels(found.images),
      distance='cosine',
      is_baseline=True,
      **options,
    )
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **_arrays(found, summary, distance))
  folder = pathlib.Path(out)
  workdirs.atomic_write_bytes(folder / ARRAYS, buffer.getvalue())
  workdirs.atomic_write_json(folder / RESULTS, summary)
  return summary


def _load(workdir, seed: int) -> _Run:
  """The run's network on all images of its table."""
  with tempfile.TemporaryDirectory() as folder:
    network, config = classifiers.take_network(workdir, pathlib.Path(folder))
  with saved.understood(workdir):
    images = inputs.image_set(config, workdir)
  if config.data.on_leak == 'stamp':
    # A held-out class is a split too, and its subjects may be in others.
    torn.check_disjoint(images.frame)
  question = examine.ask(images.frame, seed)
  embeddings = network.embed(
    images, np.arange(len(images.frame)), config.eval.batch_size
  )
  return _Run(config, images, question, embeddings, own_heads.params(workdir))


def _pixels(images) -> np.ndarray:
  """float32[n, h w c] of all images, if they fit."""
  num = len(images.frame) * images.image_size**2 * images.channels
  if num > _MOST_VALUES:
    raise errors.UsageError(
      f'The raw pixels of {len(images.frame)} images take '
      f'{4 * num / 2**30:.1f} GiB, the baseline takes up to '
      f'{4 * _MOST_VALUES / 2**30:.0f}. Leave it out with --nopixels.'
    )
  return evaluate.pixels(images, np.arange(len(images.frame)))


def _own(found: _Run, draws: int) -> dict[str, Any] | None:
  """What the layers say that were trained beside the network.

  Returns:
    'accuracy': group -> cell of a classifier, which never names a class held
    out; 'verification': of a Siamese run, as `examine.verified`; None of
    others, and where subjects and not diagnoses were learnt.
  """
  question, name = found.question, found.config.loss.name
  if found.config.sampler.label != 'diagnosis':
    return None
  if name == 'cross_entropy':
    rows = question.rows('test')
    names = sorted(set(question.classes[question.rows('train')]))
    called = own_heads.called(found.head, found.embeddings[rows], names)
    return {'accuracy': examine.accuracy(question, called, draws=draws)}
  if name == 'siamese':
    gaps = {
      split: _probabilities(found, triplets)
      for split, triplets in question.triplets.items()
    }
    return {'verification': examine.verified(question, gaps, draws=draws)}
  return None


def _probabilities(found: _Run, triplets: np.ndarray) -> np.ndarray:
  """float64[m, 2]: what a Siamese head says of the pairs of triplets."""
  anchor, *others = (found.embeddings[rows] for rows in triplets.T)
  hidden = found.config.loss.options.siamese.hidden
  return np.stack(
    [own_heads.different(found.head, anchor, o, hidden) for o in others], axis=1
  )


def _arrays(found: _Run, summary, distance: str) -> dict[str, np.ndarray]:
  """What pictures of the test split need."""
  question = found.question
  triplets = question.triplets['test']
  gaps = examine.tuple_distances(triplets, found.embeddings, distance)
  same, far = np.tile([True, False], len(gaps)), gaps.reshape(-1)
  edges = np.linspace(0.0, max(far.max(), 1e-6), _BINS + 1)
  curve = verification.curve(same, far)
  rows = question.rows('test')
  chosen, points = _plane(found.embeddings[rows], distance, question.seed)
  measured = summary['network']['verification']
  if (summary['own_head'] or {}).get('verification'):
    # Its own answer, and not a distance, is what it was trained to give.
    gaps = _probabilities(found, triplets)
    measured = summary['own_head']['verification']
  return {
    'distance_edges': edges,
    'mated_counts': np.histogram(far[same], edges)[0],
    'nonmated_counts': np.histogram(far[~same], edges)[0],
    **{f'roc_{name}': np.asarray(line) for name, line in curve.items()},
    'plane_points': points,
    'plane_class': question.classes[rows[chosen]],
    **_pair_examples(found, triplets, gaps, measured['threshold']),
    **_triplet_examples(found, triplets, gaps),
  }


def _plane(embeddings, distance: str, seed: int):
  """Two coordinates as they are, others by t-SNE."""
  if embeddings.shape[1] == 2:
    chosen = np.random.default_rng(seed).permutation(len(embeddings))
    chosen = np.sort(chosen[: classify.MOST_POINTS])
    return chosen, embeddings[chosen]
  return classify.plane(embeddings, seed, comparing.METRICS[distance])


def _pair_examples(found: _Run, triplets, gaps, threshold: float):
  """Pictures of pairs by chance and of wrong ones, both kinds in turn."""
  pairs = np.stack([triplets[:, [0, 1]], triplets[:, [0, 2]]], axis=1)
  # One pair of each triplet, so that no anchor comes twice.
  kind = np.arange(len(pairs)) % 2
  number = np.arange(len(pairs))
  rows, far = pairs[number, kind], gaps[number, kind]
  called = far <= threshold
  return _examples(
    found, 'pair', rows, called != (kind == 0), _PAIRS, far[:, None], called
  )


def _triplet_examples(found: _Run, triplets, gaps):
  called = gaps[:, 0] < gaps[:, 1]
  return _examples(found, 'triplet', triplets, ~called, _TRIPLETS, gaps, called)


def _examples(found: _Run, name: str, rows, wrong, count, far, called):
  """Arrays of the tuples that a picture shows."""
  both = examine.choose(wrong, count, found.question.seed)
  made = {}
  for kind, chosen in zip(('', 'wrong_'), both, strict=True):
    shown = rows[chosen]
    made[f'{kind}{name}_images'] = evaluate.thumbnails(found.images, shown)
    made[f'{kind}{name}_class'] = found.question.classes[shown]
    made[f'{kind}{name}_distance'] = far[chosen]
    made[f'{kind}{name}_called'] = called[chosen]
  return made
