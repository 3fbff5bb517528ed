"""A network is taken over from a run, whatever devices that run had."""

import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from mammojax.training import checkpoints

ROOT = pathlib.Path(__file__).parents[1]
READER = """
import sys
import jax
from mammojax.training import transfer
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 1)
network, step = transfer.best(sys.argv[1], 'model.init_from')
print(step, network['params']['w'].tolist(), network['batch_stats'])
"""


def test_one_device_reads_what_eight_have_saved(tmp_path):
  devices = Mesh(np.array(jax.devices()), ('data',))
  assert devices.size == 8
  everywhere = NamedSharding(devices, PartitionSpec())
  state = {
    'params': {'w': jnp.arange(4.0)},
    'batch_stats': {},
    'step': jnp.int32(3),
  }
  with checkpoints.Checkpoints(tmp_path / 'checkpoints') as saved:
    saved.save(3, jax.device_put(state, everywhere), metrics={'map': 0.5})
  seen = subprocess.run(
    [sys.executable, '-c', READER, str(tmp_path)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert seen.stdout == '3 [0.0, 1.0, 2.0, 3.0] {}\n', seen.stderr
