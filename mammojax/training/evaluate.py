"""Embeddings of images, and the forensic protocol run on them."""

from collections.abc import Callable
import io
import logging
from typing import Any
import zipfile

import jax
import numpy as np

from mammojax import errors
from mammojax.metrics import bootstrap, collapse, protocols, retrieval
from mammojax.training import workdir as workdirs

_LOG = logging.getLogger(__name__)
# The last one only to stand beside published tables that count so.
METRICS = ('map', 'map_at_r', 'cmc@1', 'cmc@5', 'cmc_all_shots@1')
_BINS = 200
_NEAREST = 5


def embedder(model) -> Callable[..., jax.Array]:
  """A compiled (params, batch_stats, images) -> embeddings, stored statistics.

  Args:
    model: flax module, images and `train` to float32[b, d].
  """

  @jax.jit
  def embed(params, batch_stats, images):
    variables = {'params': params, 'batch_stats': batch_stats}
    return model.apply(variables, images, train=False)

  return embed


def embed(
  embed_fn: Callable[[np.ndarray], jax.Array],
  images,
  rows: np.ndarray,
  *,
  batch_size: int,
  region: str = 'all',
  stop=None,
) -> np.ndarray:
  """Embeddings of rows of a set, in batches of one shape.

  Args:
    embed_fn: float32[batch_size, h, w, c] -> float32[batch_size, d].
    images: ImageSet.
    rows: int64[n].
    batch_size: images at a time; the last batch is filled up with zeros.
    region: of the images, see ImageSet.
    stop: StopSignal polled between batches, or None.

  Returns:
    float32[n, d].

  Raises:
    Stopped: a signal came.
    DataError: an embedding that is not finite, with its item.
  """
  parts = []
  for start in range(0, len(rows), batch_size):
    if stop is not None and stop.requested:
      raise errors.Stopped('Stopped while embedding; nothing was lost.')
    chosen = rows[start : start + batch_size]
    batch = images.images(chosen, region)
    padding = [(0, batch_size - len(batch))] + [(0, 0)] * (batch.ndim - 1)
    parts.append(np.asarray(embed_fn(np.pad(batch, padding)))[: len(chosen)])
  result = np.concatenate(parts)
  bad = np.flatnonzero(~np.isfinite(result).all(axis=1))
  if len(bad):
    names = images.frame['item'].iloc[rows[bad[:20]]].tolist()
    raise errors.DataError(
      f'{len(bad)} of {len(rows)} embeddings are not finite; the first '
      f'items: {names}. Look at these images.'
    )
  return result


def pixels(images, rows: np.ndarray, region: str = 'all') -> np.ndarray:
  """Images as rows of raw pixel values, float32[n, h w c]."""
  parts = [
    images.images(rows[start : start + 256], region).reshape(
      len(rows[start : start + 256]), -1
    )
    for start in range(0, len(rows), 256)
  ]
  return np.concatenate(parts)


def score(
  protocol: protocols.Protocol, query: np.ndarray, gallery: np.ndarray
) -> dict[str, np.ndarray]:
  """METRICS of each query: name -> float64[q], NaN without a mate."""
  return retrieval.per_query(
    query, gallery, metrics=_names(protocol), **protocol.relation()
  )


def summarize(
  protocol: protocols.Protocol,
  values: dict[str, np.ndarray],
  *,
  draws: int,
  seed: int,
) -> dict[str, dict[str, Any]]:
  """Means with intervals over subjects, for all queries and by year."""
  return {
    name: {
      metric: bootstrap.interval(
        values[metric][mask],
        protocol.query_subject[mask],
        draws=draws,
        seed=seed,
      )
      for metric in values
    }
    for name, mask in protocol.years.items()
  }


def baselines(
  images,
  protocol: protocols.Protocol,
  *,
  pixel: bool,
  masked: bool,
  draws: int,
  seed: int,
) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
  """What needs no training, in the same gallery.

  Returns:
    (summary, values). 'pixel': cosine of raw pixels, or None; 'masked': the
    same on what surrounds the breast, or None; 'chance': expected under a
    random order, which the summary has alone. Values are by query, as of
    `score`.
  """
  values = {
    name: score(
      protocol,
      pixels(images, protocol.query_rows, region),
      pixels(images, protocol.gallery_rows, region),
    )
    for name, region, wanted in (
      ('pixel', 'all', pixel),
      ('masked', 'background', masked),
    )
    if wanted
  }
  summary: dict[str, Any] = {'pixel': None, 'masked': None} | {
    name: summarize(protocol, value, draws=draws, seed=seed)
    for name, value in values.items()
  }
  chance = protocols.chance(protocol, _names(protocol))
  summary['chance'] = {
    year: {metric: {'value': value} for metric, value in row.items()}
    for year, row in chance.items()
  }
  return summary, values


def _names(protocol):
  """METRICS that a gallery of this size has."""
  return [n for n in METRICS if n != 'cmc@5' or protocol.n_gallery >= 5]


def validation(
  protocol: protocols.Protocol, query: np.ndarray, gallery: np.ndarray
) -> dict[str, float]:
  """Scalars of a validation: means of METRICS, and the spread."""
  values = score(protocol, query, gallery)
  spread = collapse.spread(np.concatenate([query, gallery]))
  return {
    **{name: float(np.nanmean(value)) for name, value in values.items()},
    'mean_cosine': spread['mean_cosine'],
    'effective_rank': spread['effective_rank'],
  }


def save_details(
  path,
  images,
  protocol: protocols.Protocol,
  query: np.ndarray,
  gallery: np.ndarray,
  values: dict[str, dict[str, np.ndarray]],
  *,
  num_examples: int,
  seed: int,
) -> None:
  """Writes what pictures and pooling need, `evaluation.npz`.

  Args:
    path: of the file.
    images: ImageSet, for the pictures.
    protocol: gallery and queries.
    query: float32[q, d].
    gallery: float32[g, d].
    values: by query, as `score` returns them, of 'query' (the network),
      'pixel' and 'masked'.
    num_examples: query rows to show, of different subjects.
    seed: of their choice.
  """
  edges = np.linspace(0.0, 2.0, _BINS + 1)
  mated, nonmated = retrieval.distance_histogram(
    query, gallery, edges=edges, **protocol.relation()
  )
  ranks = retrieval.ranks(
    query,
    gallery,
    k=min(_NEAREST, protocol.n_gallery),
    **protocol.relation(),
  )
  chosen = _choose(protocol, num_examples, seed)
  hits = ranks.index[chosen]
  items = images.frame['item'].to_numpy().astype(str)
  buffer = io.BytesIO()
  np.savez_compressed(
    buffer,
    distance_edges=edges,
    mated_counts=mated,
    nonmated_counts=nonmated,
    example_query=thumbnails(images, protocol.query_rows[chosen]),
    example_hits=thumbnails(images, protocol.gallery_rows[hits]),
    example_correct=protocol.gallery_label[hits]
    == protocol.query_label[chosen][:, None],
    example_truth_rank=np.rint(ranks.first[chosen]).astype(np.int64),
    example_query_name=items[protocol.query_rows[chosen]],
    example_hit_names=items[protocol.gallery_rows[hits]],
    example_distance=ranks.distance[chosen],
    query_item=items[protocol.query_rows],
    query_subject=protocol.query_subject.astype(str),
    query_truth_rank=ranks.first,
    **{
      f'{kind}_{name}': value
      for kind, table in values.items()
      for name, value in table.items()
    },
  )
  workdirs.atomic_write_bytes(path, buffer.getvalue())


def load_details(path) -> dict[str, np.ndarray]:
  """What `save_details` wrote.

  Raises:
    DataError: the file is missing or damaged.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      return {name: file[name] for name in file.files}
  except (OSError, ValueError, zipfile.BadZipFile) as error:
    raise errors.DataError(
      f'{path} cannot be read ({error}). Delete it and run the same command '
      'again.'
    ) from error


def _choose(protocol, count, seed):
  """Queries with a mate, of different subjects, by chance."""
  rng = np.random.default_rng(seed)
  order = rng.permutation(np.flatnonzero(protocol.num_mates > 0))
  _, first = np.unique(protocol.query_label[order], return_index=True)
  return order[np.sort(first)][:count]


def thumbnails(images, rows: np.ndarray) -> np.ndarray:
  """Pictures of rows of any shape, uint8[*rows, h, w, c]."""
  flat = images.images(rows.reshape(-1))
  flat = np.rint(flat * 255.0).astype(np.uint8)
  return flat.reshape(rows.shape + flat.shape[1:])
