"""From a config to what a step needs besides network, loss and margins."""

import ml_collections

from mammojax import augment, curriculum, errors, memory
from mammojax.training import sampling


def augmentation(config) -> augment.Augmentation:
  """The augmentation of `config.augment`."""
  return augment.Augmentation(**config.augment.to_dict())


def micro_batch(config, *, num_devices: int) -> int:
  """Images embedded at a time on each device, of `config.train.micro_batch`.

  Args:
    config: the run's.
    num_devices: devices that share a batch.

  Returns:
    The number; 0 for all at once.

  Raises:
    UsageError: it is below 0 or does not divide the share of a device.
  """
  size, batch = config.train.micro_batch, sampling.batch_size(config)
  share = batch // num_devices
  if size < 0 or (size and share % size):
    raise errors.UsageError(
      f'train.micro_batch must be 0 (off) or divide the {share} images that '
      f'each of {num_devices} devices has of a batch of {batch}, got {size}.'
    )
  return size


def course_and_memory(
  config: ml_collections.ConfigDict,
) -> tuple[curriculum.CurriculumState | None, memory.MemoryState | None]:
  """Curriculum and memory before step 0, None where they are off.

  Raises:
    UsageError: an unknown name, or a number out of its range.
  """
  course = config.curriculum.to_dict()
  course.pop('then')
  held = None
  if config.memory.size:
    held = memory.init(
      config.memory.size,
      config.model.embedding_dim,
      warmup_steps=config.memory.warmup_steps,
    )
  if course['switch'] == 'off':
    return None, held
  return curriculum.init(**course), held
