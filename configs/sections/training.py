"""Optimizer, lengths, evaluation, devices and records."""

import ml_collections


def optim():
  optim = ml_collections.ConfigDict()
  # 'adam', 'adamw', 'sgd' or 'rmsprop'.
  optim.name = 'adamw'
  optim.learning_rate = 2e-3
  optim.warmup_steps = 50
  # 'cosine' to zero, or 'constant'.
  optim.schedule = 'cosine'
  optim.weight_decay = 1e-4
  # Times the sum of the squares of all kernels, added to the loss.
  optim.l2 = 0.0
  # Of sgd.
  optim.momentum = 0.9
  # Largest global norm of the gradient; 0.0: no clipping.
  optim.clip_norm = 1.0
  # Names of parameters that stay as they are, such as 'backbone/*'; their
  # batch norms keep their statistics.
  optim.freeze = ()
  # More of them, while the network starts from model.weights or
  # model.init_from. From scratch they learn.
  optim.freeze_pretrained = ()
  # Learning rate of each layer over that of the next one; 1.0: equal rates.
  optim.layer_decay = 1.0
  # Rates of parameters by name, such as 'backbone/stem*=0.1'.
  optim.rates = ()
  return optim


def train():
  train = ml_collections.ConfigDict()
  train.steps = 1500
  # Images embedded at a time on each device, for batches that do not fit into
  # memory; batch norm then sees a micro-batch. 0: the whole share at once.
  train.micro_batch = 0
  train.log_every = 25
  train.eval_every = 250
  train.checkpoint_every = 250
  # Updates refused in a row, for numbers that are not finite, before the end.
  train.max_bad_steps = 3
  # Go on in a workdir whose rates or lengths were others.
  train.allow_config_change = False
  return train


def eval():
  evaluation = ml_collections.ConfigDict()
  # What is searched for: the 'subject'; or, among all training images, the
  # 'diagnosis' or the 'target'.
  evaluation.label = 'subject'
  # Of the label 'subject': 'first_visit', 'first_image', 'left' or 'right'; see
  # metrics/protocols.
  evaluation.gallery = 'first_visit'
  # Of 'first_image': how many of each subject are in the gallery.
  evaluation.gallery_images = 1
  evaluation.batch_size = 128
  # Bootstrap draws over subjects for the intervals.
  evaluation.draws = 2000
  # Add the ranking by raw pixels, which takes every pixel into memory.
  evaluation.pixel_baseline = True
  # Add the control that sees only what surrounds the breast.
  evaluation.masked_baseline = True
  # Of decisions: the validation score that chooses the checkpoint, 'auc',
  # 'accuracy', 'f2' or 'log_loss'; and the threshold: 'half' is one half; 'f1',
  # 'f2' and 'youden' are what is best on validation.
  evaluation.choose_by = 'auc'
  evaluation.threshold = 'half'
  # Query rows shown in the report.
  evaluation.examples = 12
  return evaluation


def parallel():
  parallel = ml_collections.ConfigDict()
  # 'shard_map' or 'pmap'.
  parallel.transform = 'shard_map'
  # Devices of this process to use; 0: all.
  parallel.num_devices = 0
  return parallel


def logging():
  logging = ml_collections.ConfigDict()
  logging.tensorboard = True
  logging.progress = True
  # Folder for compiled programs; '': the user's cache folder; 'off'.
  logging.compile_cache = ''
  return logging
