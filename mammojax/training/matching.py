"""How a run that embeds is judged: who is whose, or what class is this."""

from collections.abc import Callable
import logging
import pathlib
from typing import Any

import ml_collections
import numpy as np

from mammojax import errors
from mammojax.data import imageset
from mammojax.metrics import collapse, protocols
from mammojax.training import evaluate, inputs

_LOG = logging.getLogger(__name__)
# int64[n] rows of the table -> float32[n, d], what the network gives.
EmbedFn = Callable[[np.ndarray], np.ndarray]


class Matching:
  """Retrieval on the validation and on the test subjects.

  `training.classifying.Classifying` has the same form.

  Attributes:
    test_protocol: gallery and queries of the test.
    validation_protocol: likewise, or None where there are none.
  """

  # Of the validation: where it is highest, the checkpoint is the best.
  best_metric = 'map'

  def __init__(
    self, config: ml_collections.ConfigDict, images: imageset.ImageSet
  ):
    """Finds galleries and queries.

    Raises:
      UsageError: an unknown gallery.
      DataError: no test query with a mate.
    """
    self._config, self._images = config, images
    self.test_protocol = inputs.protocol(config, images.frame, 'test')
    self.validation_protocol = None
    try:
      self.validation_protocol = inputs.protocol(
        config, images.frame, 'validation'
      )
    except errors.DataError as error:
      _LOG.warning('No validation, so the last checkpoint counts: %s', error)

  @property
  def can_validate(self) -> bool:
    """Whether there is something to choose a checkpoint by."""
    return self.validation_protocol is not None

  def validate(self, embed_fn: EmbedFn) -> dict[str, float]:
    """Scalars of the validation, `best_metric` among them."""
    protocol = self.validation_protocol
    return evaluate.validation(protocol, *_sides(protocol, embed_fn))

  def words(self, values: dict[str, float]) -> str:
    """A validation in a line."""
    return (
      f'mAP {values["map"]:.3f}, CMC@1 {values["cmc@1"]:.3f}, mean cosine '
      f'{values["mean_cosine"]:.3f}, effective rank '
      f'{values["effective_rank"]:.1f}'
    )

  def warning(self, values: dict[str, float]) -> str | None:
    """What a validation warns of."""
    return collapse.diagnose(values)

  def test(
    self, embed_fn: EmbedFn, path: pathlib.Path | None
  ) -> dict[str, Any]:
    """Measures the test split once.

    Args:
      embed_fn: see EmbedFn.
      path: of `evaluation.npz`; None writes nothing.

    Returns:
      'test', 'baselines' and 'counts' of metrics.json.
    """
    config, protocol = self._config, self.test_protocol
    query, gallery = _sides(protocol, embed_fn)
    values = evaluate.score(protocol, query, gallery)
    options = {'draws': config.eval.draws, 'seed': config.seed}
    baselines, baseline_values = evaluate.baselines(
      self._images,
      protocol,
      pixel=config.eval.pixel_baseline,
      masked=config.eval.masked_baseline,
      **options,
    )
    if path is not None:
      evaluate.save_details(
        path,
        self._images,
        protocol,
        query,
        gallery,
        {'query': values, **baseline_values},
        num_examples=config.eval.examples,
        seed=config.seed,
      )
    return {
      'test': evaluate.summarize(protocol, values, **options),
      'baselines': baselines,
      'counts': {
        'subjects': protocol.n_subjects,
        'gallery': protocol.n_gallery,
        'queries': protocol.n_queries,
        'queries_without_mate': protocol.n_without_mate,
      },
    }


def _sides(protocol: protocols.Protocol, embed_fn: EmbedFn):
  return embed_fn(protocol.query_rows), embed_fn(protocol.gallery_rows)
