"""A run small enough for a test: phantoms of 32 px, a thin network."""

from configs import base


def config(cache, **changes):
  """Base config with tiny sizes; `changes` are dotted names with `__`.

  Phantoms are drawn once into the folder `cache`.
  """
  return shrink(base.get_config(), cache, **changes)


def shrink(config, cache, **changes):
  """Any config at the same sizes."""
  config.data.image_size = 32
  config.data.phantom.train_women = 10
  config.data.phantom.validation_women = 3
  config.data.phantom.test_women = 3
  config.data.phantom.cache_dir = str(cache)
  config.sampler.subjects_per_batch = 4
  config.sampler.images_per_subject = 4
  config.sampler.num_threads = 0
  config.model.width = 4
  config.model.embedding_dim = 8
  config.optim.warmup_steps = 2
  config.train.steps = 6
  config.train.log_every = 2
  config.train.eval_every = 3
  config.train.checkpoint_every = 3
  config.eval.batch_size = 32
  config.eval.draws = 50
  config.eval.examples = 3
  config.parallel.num_devices = 1
  config.logging.tensorboard = False
  config.logging.progress = False
  # The tests have set a folder for compiled programs.
  config.logging.compile_cache = 'off'
  for name, value in changes.items():
    *path, last = name.split('__')
    node = config
    for part in path:
      node = node[part]
    node[last] = value
  if config.model.name.startswith('resnet') and 'model__cut' not in changes:
    # Compiles in half the time; whole networks have tests of their own.
    config.model.cut = 'stage2'
  return config
