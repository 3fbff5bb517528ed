"""Settings that every test shares, made before the first array exists."""

import os

from absl import flags
import jax
import numpy as np
import pytest

jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 8)
# Compiling takes most of the time of these tests; small arrays need no tuning.
jax.config.update('jax_disable_most_optimizations', True)
# XLA's newer way to compile fused loops takes four times as long as the older.
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_cpu_use_fusion_emitters=false'
)
flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope='session', autouse=True)
def compiled_programs(request):
  """Keeps compiled programs between tests and between runs."""
  folder = request.config.cache.mkdir('compiled')
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  return folder


@pytest.fixture(scope='session')
def cache(tmp_path_factory):
  """A folder for phantoms that all tests of a session share."""
  return tmp_path_factory.mktemp('cache')


@pytest.fixture
def rng():
  """A generator with a fixed seed."""
  return np.random.default_rng(20260817)


@pytest.fixture
def strict_promotion():
  """Forbids silent promotion of dtypes and ranks."""
  with jax.numpy_dtype_promotion('strict'), jax.numpy_rank_promotion('raise'):
    yield
