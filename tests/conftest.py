"""Settings that every test shares, made before the first array exists."""

from absl import flags
import jax
import numpy as np
import pytest

jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 8)
flags.FLAGS.mark_as_parsed()


@pytest.fixture
def rng():
  """A generator with a fixed seed."""
  return np.random.default_rng(20260817)


@pytest.fixture
def strict_promotion():
  """Forbids silent promotion of dtypes and ranks."""
  with jax.numpy_dtype_promotion('strict'), jax.numpy_rank_promotion('raise'):
    yield
