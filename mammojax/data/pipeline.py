"""Batches for training: read in threads, resumable by step.

    source = BatchSource(images, rows, sampler, num_steps=3000)
    for batch in batches(source, start_step=0, num_threads=2, prefetch=4):
      ...

Batch s is a function of (seed, s) alone, so its position is one number. With
several processes each reads its own contiguous share; put together in order of
the processes, the shares are the batch that one process would read.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import grain.python as grain
import numpy as np

from mammojax import errors
from mammojax.data import imageset


def dense_ids(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
  """Numbers strings in sorted order.

  Args:
    names: str[n].

  Returns:
    (int32[n] ids in 0 .. u - 1, str[u] the name of each id).
  """
  unique, ids = np.unique(np.asarray(names, dtype=str), return_inverse=True)
  return ids.astype(np.int32), unique


class Sampler(Protocol):
  """Which images make up a batch; `samplers.SubjectBatches` is one."""

  batch_size: int

  def __getitem__(self, step: int) -> np.ndarray:
    """int64[batch_size], positions in the training set."""
    ...


class BatchSource:
  """A grain random access source whose item s is the batch of step s.

  Attributes:
    labels: int32[n], dense label of each training image.
    names: str[u], what each label stands for, by default the subject.
  """

  def __init__(
    self,
    images: imageset.ImageSet,
    rows: np.ndarray,
    sampler: Sampler,
    num_steps: int,
    *,
    label: str = 'subject',
    process_index: int = 0,
    process_count: int = 1,
  ):
    """Numbers subjects and items of the rows.

    Args:
      images: where pixels come from.
      rows: int64[n], the training images as positions in `images.frame`.
      sampler: gives positions in `rows`; it was made with the labels
        `dense_ids(images.frame[label][rows])[0]`.
      num_steps: length of the run.
      label: the column that is learnt.
      process_index: which share to read.
      process_count: number of shares.

    Raises:
      UsageError: the batch does not divide by the processes.
    """
    size = sampler.batch_size
    if size % process_count:
      raise errors.UsageError(
        f'A batch of {size} images cannot be shared equally by'
        f' {process_count} processes; change sampler.batch_size, or'
        ' subjects_per_batch and images_per_subject, so that it divides.'
      )
    self._images = images
    self._rows = np.asarray(rows, np.int64)
    frame = images.frame.iloc[self._rows]
    self.labels, self.names = dense_ids(frame[label].tolist())
    self._items, _ = dense_ids(frame['item'].tolist())
    self._sampler = sampler
    self._num_steps = num_steps
    share = size // process_count
    self._share = slice(process_index * share, (process_index + 1) * share)

  def __len__(self) -> int:
    return self._num_steps

  def __getitem__(self, step: int) -> dict[str, np.ndarray]:
    """This process's share of the batch of one step.

    Returns:
      'image' float32[b, h, w, c] in [0, 1]; int32[b] each: 'label' and 'item'
      (dense over the training images), 'row' of the frame, 'position' in the
      global batch.

    Raises:
      DataError: an image that cannot be read, with step, file and row.
    """
    chosen = self._sampler[step][self._share]
    rows = self._rows[chosen]
    try:
      image = self._images.images(rows)
    except errors.DataError as error:
      raise errors.DataError(f'Step {step}: {error}') from error
    return {
      'image': image,
      'label': self.labels[chosen],
      'item': self._items[chosen],
      'row': rows.astype(np.int32),
      'position': np.arange(
        self._share.start, self._share.stop, dtype=np.int32
      ),
    }


def batches(
  source: BatchSource,
  start_step: int = 0,
  num_threads: int = 2,
  prefetch: int = 4,
) -> Iterator[dict[str, np.ndarray]]:
  """Batches start_step, start_step + 1, ... in order, read ahead in threads.

  Args:
    source: the batches.
    start_step: first batch, to go on where a run stopped.
    num_threads: batches read at once; 0 reads in the caller's thread.
    prefetch: batches held ready.

  Returns:
    An iterator; errors of the threads are raised by its `next`. Closing it
    cancels what was read ahead.
  """
  dataset = grain.MapDataset.source(source).slice(slice(start_step, None))
  options = grain.ReadOptions(
    num_threads=min(num_threads, prefetch), prefetch_buffer_size=prefetch
  )
  return iter(dataset.to_iter_dataset(options))
