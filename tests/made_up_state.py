"""Made-up states of a run, and files to damage."""

import jax
import jax.numpy as jnp
import numpy as np

from mammojax.training import checkpoints


def state(seed=0):
  """Every dtype a run has, random and with odd bits."""
  rng = np.random.default_rng(seed)
  return {
    'params': {'kernel': jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)},
    'odd': jnp.asarray([np.nan, -0.0, np.inf, 1e-45], jnp.float32),
    'count': jnp.int32(rng.integers(-9, 9)),
    'key': jax.random.PRNGKey(seed),
    'half': jnp.asarray(rng.normal(size=4), jnp.bfloat16),
    'seen': jnp.asarray(rng.random(7) > 0.5),
    'flag': jnp.asarray(True),
    'margin': (jnp.float32(rng.normal()), None, {}),
    'host': rng.normal(size=2),
  }


def assert_same_bits(found, wanted):
  """Equal in structure, dtypes, shapes and every bit."""
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert a.tobytes() == b.tobytes()


def fill(directory, steps=(1, 2, 3), metrics=None):
  """Saves made-up states of these steps."""
  with checkpoints.Checkpoints(directory) as saved:
    for step in steps:
      saved.save(step, state(step), (metrics or {}).get(step), {'at': step})


def flip(path, bit=0):
  """Flips one bit in the middle of a file."""
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1 << bit
  path.write_bytes(bytes(data))


def biggest(folder):
  """The largest file below a folder."""
  files = [path for path in folder.rglob('*') if path.is_file()]
  return max(files, key=lambda path: path.stat().st_size)
