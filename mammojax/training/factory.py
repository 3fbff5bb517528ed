"""From a config to the augmentation and the micro-batch it names."""

from mammojax import augment, errors
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
