"""Losses of one batch over all processes; the first writes them as JSON.

python launch/local_processes.py --script=tests/losses_in_processes.py -- \
    found.json batch_all_triplet supcon
"""

import json
import pathlib
import sys

import every_loss
import every_loss_devices as shares
import jax
from jax.sharding import PartitionSpec
import numpy as np

from mammojax import relations
from mammojax.training import parallel


def evaluate(case, devices):
  """Value and gradients, each process holding only its own rows."""
  rows = dict(shares.global_batch())
  rows['label'] = np.asarray(every_loss.relation_of(rows, case).label)
  count, index = jax.process_count(), jax.process_index()
  own = {
    key: np.array_split(value, count)[index] for key, value in rows.items()
  }
  step = shares.step_of(case, parallel.AXIS)

  def on_rows(parameters, batch):
    batch = dict(batch)
    x = batch.pop('x')
    return step(parameters, x, relations.Relation(**batch))

  mapped = jax.shard_map(
    on_rows,
    mesh=devices.mesh,
    in_specs=(PartitionSpec(), PartitionSpec(parallel.AXIS)),
    out_specs=PartitionSpec(),
  )
  parameters = devices.replicate(shares.parameters_of(case))
  found = jax.jit(mapped)(parameters, devices.place(own))
  return jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), found)


def main(path, *names):
  parallel.initialize()
  devices = parallel.Parallel('shard_map')
  found = {name: evaluate(every_loss.CASES[name], devices) for name in names}
  if parallel.is_first_process():
    result = {
      'processes': jax.process_count(),
      'devices': devices.num_devices,
      'losses': found,
    }
    pathlib.Path(path).write_text(json.dumps(result))


if __name__ == '__main__':
  main(*sys.argv[1:])
