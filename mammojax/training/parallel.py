"""The one file that names a device transform.

    initialize()
    devices = Parallel('shard_map', num_devices=0)
    step_fn = devices.data_parallel(train_step)
    state, metrics, pulse = step_fn(state, metrics, devices.place(batch))

The state is held once, replicated; a batch is split along its first axis.
Both transforms take the same step function and the same state, so a
checkpoint of one continues under the other.
"""

from collections.abc import Callable, Mapping
import functools
import os
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from mammojax import errors

AXIS = 'data'
TRANSFORMS = ('shard_map', 'pmap')
_VARIABLES = (
  'MAMMOJAX_COORDINATOR',
  'MAMMOJAX_NUM_PROCESSES',
  'MAMMOJAX_PROCESS_ID',
)


def initialize() -> None:
  """Joins the other processes of a run, when there are any.

  MAMMOJAX_COORDINATOR (host:port), MAMMOJAX_NUM_PROCESSES and
  MAMMOJAX_PROCESS_ID are set by the scripts in `launch/`. A coordinator of
  'auto' leaves all three to jax, which reads them from SLURM, a TPU pod or
  Kubernetes. Without MAMMOJAX_COORDINATOR this does nothing.

  Raises:
    UsageError: only some of the three are set, or a count is no number.
  """
  values = [os.environ.get(name, '') for name in _VARIABLES]
  if not any(values):
    return
  if values[0] == 'auto':
    jax.distributed.initialize()
    return
  try:
    count, index = int(values[1]), int(values[2])
  except ValueError:
    raise errors.UsageError(
      f'{", ".join(_VARIABLES)} must be set together, the last two to whole '
      f'numbers; got {values}.'
    ) from None
  if jax.config.jax_platforms == 'cpu':
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  jax.distributed.initialize(values[0], count, index)


class Parallel:
  """A row of devices, and how a step runs on them.

  Attributes:
    mesh: one axis, AXIS, over the devices of all processes.
    transform: 'shard_map' or 'pmap'.
  """

  def __init__(self, transform: str = 'shard_map', num_devices: int = 0):
    """Takes `num_devices` devices of each process, or all.

    Raises:
      UsageError: an unknown transform, or more devices than there are.
    """
    if transform not in TRANSFORMS:
      raise errors.unknown('parallel.transform', transform, TRANSFORMS)
    local = jax.local_device_count()
    if not 0 <= num_devices <= local:
      raise errors.UsageError(
        f'parallel.num_devices must be 0 (all) to {local} here, got '
        f'{num_devices}.'
      )
    self.transform = transform
    self._local = jax.local_devices()[: num_devices or local]
    chosen = [
      device
      for process in range(jax.process_count())
      for device in _devices_of(process)[: num_devices or local]
    ]
    self.mesh = jax.sharding.Mesh(
      np.asarray(chosen), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,)
    )

  @property
  def num_devices(self) -> int:
    """Devices of all processes."""
    return self.mesh.size

  @property
  def replicated(self) -> NamedSharding:
    """Where a value lies that is whole on every device."""
    return NamedSharding(self.mesh, PartitionSpec())

  def check_batch(self, batch_size: int) -> None:
    """Refuses a global batch that the devices cannot share equally.

    Raises:
      UsageError: with the numbers and what to change.
    """
    if batch_size % self.num_devices:
      raise errors.UsageError(
        f'A batch of {batch_size} images (see config.sampler) cannot be '
        f'shared equally by {self.num_devices} devices. Change the batch, or '
        'set parallel.num_devices.'
      )

  def replicate(self, tree: Any) -> Any:
    """Puts a pytree whole on every device."""
    return jax.device_put(tree, self.replicated)

  def place(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Puts this process's share of a batch on its devices.

    Args:
      batch: arrays [b, ...], b the share of this process.

    Returns:
      The global batch, [B, ...] split over the mesh; for pmap [devices, ...].
    """
    if self.transform == 'pmap':
      count = len(self._local)
      return {
        name: value.reshape((count, -1) + value.shape[1:])
        for name, value in batch.items()
      }
    sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
    if jax.process_count() == 1:
      return jax.device_put(dict(batch), sharding)
    return {
      name: jax.make_array_from_process_local_data(sharding, value)
      for name, value in batch.items()
    }

  def data_parallel(self, step_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a step on all devices.

    Args:
      step_fn: (state, metrics, batch, axis_name) -> a pytree that is equal
        on all devices.

    Returns:
      (state, metrics, placed batch) -> the pytree, compiled; the buffers of
      state and metrics are given up.
    """
    step_fn = functools.partial(step_fn, axis_name=AXIS)
    if self.transform == 'pmap':
      return jax.pmap(
        step_fn,
        axis_name=AXIS,
        in_axes=(None, None, 0),
        out_axes=None,
        devices=None if jax.process_count() > 1 else self._local,
        donate_argnums=(0, 1),
      )
    sharded = jax.shard_map(
      step_fn,
      mesh=self.mesh,
      in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec(AXIS)),
      out_specs=PartitionSpec(),
    )
    return jax.jit(sharded, donate_argnums=(0, 1))


def _devices_of(process: int) -> list[jax.Device]:
  return [d for d in jax.devices() if d.process_index == process]


def compile_cache(folder: str) -> None:
  """Keeps compiled programs in a folder, so that the next start is quick."""
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def is_first_process() -> bool:
  """Whether this process writes files and speaks to the user."""
  return jax.process_index() == 0
