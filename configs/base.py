"""The whole schema of a run; every other config is a few differences.

Fields that are floats are written as floats: a field born `1` would refuse
0.25 on the command line.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Phantom mammograms, ResNet18, AdaTriplet with AutoMargin."""
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.data = _data()
  config.sampler = _sampler()
  config.augment = _augment()
  config.model = _model()
  config.loss = _loss()
  config.automargin = _automargin()
  config.curriculum = _curriculum()
  config.memory = _memory()
  config.optim = _optim()
  config.train = _train()
  config.eval = _eval()
  config.parallel = _parallel()
  config.logging = _logging()
  return config.lock()


def _data():
  data = ml_collections.ConfigDict()
  # 'phantom' draws mammograms; 'table' reads images of one's own; 'tfds' those
  # of a prepared data set of tensorflow-datasets.
  data.source = 'phantom'
  data.image_size = 96
  data.channels = 1
  # What is done to every picture, in this order; docs/images.md has them all.
  # 'fit' makes the square; 'orient' needs the column laterality.
  data.steps = ('orient', 'fit')
  # Of 'orient': flip images of this laterality ('L' or 'R') so that both sides
  # look alike.
  data.mirror = 'R'
  # 'all'; 'breast' blacks out the rest; 'background' blacks out the breast.
  data.region = 'all'
  # CSV or parquet file, and the folder or zip its paths lead into ('': the
  # folder of the table).
  data.table = ''
  data.root = ''
  # Which window of DICOM files is used: 'none' keeps all levels; 'auto',
  # 'window' or 'lut'.
  data.voi = 'none'
  # Key under which subjects become pseudonyms, outside the workdir; '': none.
  data.key_file = ''
  # Of 'fit': how a picture meets a square: 'pad', 'crop' or 'stretch'.
  data.fit = 'pad'
  data.preprocess = ml_collections.ConfigDict()
  # Of 'fit': 'area' or 'lanczos'; both in float and antialiased.
  data.preprocess.resample = 'area'
  # Of 'breast_crop': kept around the breast, as a share of its longer side.
  data.preprocess.margin = 0.02
  # Of 'window': percentiles that become black and white.
  data.preprocess.window_low = 0.5
  data.preprocess.window_high = 99.5
  # Of 'clahe': limit of a grey value, 1.0 being an even share; parts an axis.
  data.preprocess.clahe_clip = 2.0
  data.preprocess.clahe_tiles = 8
  # Of 'contrast': (x - mean) * factor + mean.
  data.preprocess.contrast_factor = 1.5
  # What the network is fed: 'learned' (mean and spread of the training images),
  # or what published weights expect: 'keras_caffe' (VGG16, ResNet50),
  # 'keras_tf' (InceptionV3), 'torchvision'.
  data.input = 'learned'
  # 'stop' at an image that cannot be read, or 'skip' up to 1 % of them.
  data.on_bad = 'stop'
  # Memory for decoded images in MiB.
  data.cache_mb = 2048
  # Who trains and who tests: '' (the split column, or by hash where there is
  # none), 'column', 'hash', 'shuffled' or 'stratified' by diagnosis.
  data.split_rule = ''
  # Of shuffled and stratified: train, validation, test; and their order.
  data.split_fractions = (0.7, 0.1, 0.2)
  data.split_seed = 0
  # Keep the table's own test rows and share out the rest.
  data.keep_test = False
  # Diagnoses that neither train nor choose; `examine` enrols them afterwards.
  data.held_out = ()
  # Folder in which finished images are stored, made when missing, so that
  # later runs decode nothing; '': none. Values are kept as 'uint16' (exact),
  # 'uint8' (for sources of 8 bit, within 1/510) or 'float32'.
  data.prepared = ''
  data.prepared_depth = 'uint16'
  # Diagnoses that are the positive class; all others are the negative one.
  data.positive = ()
  # Number of subject-disjoint folds, 0 for none, and the one to test on; -1
  # runs them all, each in a folder of its own, and pools their queries.
  data.num_folds = 0
  data.fold = -1
  # Names of the table's own columns; '': the canonical name if it is there.
  data.columns = ml_collections.ConfigDict()
  for name in (
    'path', 'subject', 'item', 'visit_months', 'laterality', 'view',
    'diagnosis', 'split',
  ):  # fmt: skip
    data.columns[name] = ''
  # Data set, such as 'name' or 'name/config:1.0.0', and the folder it was
  # prepared in ('': the default of tensorflow-datasets). data.columns names
  # its features.
  data.tfds = ml_collections.ConfigDict()
  data.tfds.name = ''
  data.tfds.data_dir = ''
  # '': the only feature that is an image.
  data.tfds.image_feature = ''
  # Its splits that are used, by commas; '': all of them.
  data.tfds.splits = ''
  data.phantom = ml_collections.ConfigDict()
  data.phantom.train_women = 300
  data.phantom.validation_women = 24
  data.phantom.test_women = 100
  # 'woman_side' tells left from right; 'woman' does not.
  data.phantom.identity = 'woman_side'
  data.phantom.lesion_rate = 0.15
  # Speed at which gland turns to fat; 1.0 is ordinary.
  data.phantom.involution = 0.7
  # How far the two views of a breast agree; 1.0: but for the exposure.
  data.phantom.view_agreement = 0.97
  data.phantom.seed = 0
  # Folder for drawn images; '': the user's cache folder.
  data.phantom.cache_dir = ''
  return data


def _sampler():
  sampler = ml_collections.ConfigDict()
  # 'subjects' (P subjects x K images), random 'pairs' or 'triplets', plain
  # epochs ('shuffle'), or with as many images of each label: 'balanced'
  # batches, epochs that 'oversample' or 'undersample'.
  sampler.name = 'subjects'
  # What is learnt, and balanced: 'subject', 'diagnosis', or 'target', whether
  # the diagnosis is one of data.positive.
  sampler.label = 'subject'
  # Images of a batch of all samplers but 'subjects'.
  sampler.batch_size = 64
  # Of pairs and triplets: 'all' pairs of the batch count, or those 'drawn'.
  sampler.relate = 'all'
  # Of 'subjects': P and K.
  sampler.subjects_per_batch = 16
  sampler.images_per_subject = 4
  # Of 'subjects': draw images with replacement when there are too few.
  sampler.with_replacement = False
  # Of 'subjects': those with fewer images take no part in training.
  sampler.min_images = 1
  # What two copies of one image in a batch are: 'ignored' or 'positive'.
  sampler.same_item = 'ignored'
  # Threads that read, and batches held ready.
  sampler.num_threads = 2
  sampler.prefetch = 4
  return sampler


def _augment():
  augment = ml_collections.ConfigDict()
  augment.horizontal_flip = False
  augment.vertical_flip = False
  augment.rotate90 = False
  augment.rotation_degrees = 10.0
  augment.shift = 0.06
  augment.zoom = 0.1
  augment.brightness = 0.05
  augment.contrast = 0.1
  augment.gamma = 0.2
  # Drawing normal noise costs as much as all the rest together on a CPU.
  augment.noise = 0.0
  augment.fill = 'edge'
  return augment


def _model():
  model = ml_collections.ConfigDict()
  # See docs/networks.md for the names, their levels and their widths.
  model.name = 'resnet18'
  # Channels of the first stage; 0 is the published network.
  model.width = 16
  # The last level that is kept, such as 'stage3', 'mixed8', 'top+1'; '': all.
  model.cut = ''
  # Of ResNets: 'imagenet' or 'cifar'.
  model.stem = 'imagenet'
  model.zero_init = False
  # How images of one channel are seen: 'native', 'replicate' or 'learned'.
  model.grey = 'native'
  # Unroll the last map in place of its mean; ties the network to a size.
  model.flatten = False
  # 'embedding', 'none', or a decision: a 'classifier' of images, or 'siamese',
  # of pairs: the first and second image of a subject, the third and fourth...
  model.head = 'embedding'
  # Widths of dense layers in front of the last.
  model.hidden = ()
  # Length of an embedding, or the number of logits.
  model.embedding_dim = 128
  model.normalize = True
  # Share of the features that the head does not see in training.
  model.dropout = 0.0
  # Folder of a run whose network this one starts from; '': at random.
  model.init_from = ''
  # File of weights that the backbone starts with, or hf://owner/repo[/file];
  # set data.input to what its publisher fed it. See docs/pretrained.md.
  model.weights = ''
  # Start from init_from, or from a file that `export` wrote, although its
  # images were prepared otherwise than data says.
  model.allow_other_preparation = False
  # Of the convolutions: 'float32' or 'bfloat16'.
  model.dtype = 'float32'
  return model


def _loss():
  loss = ml_collections.ConfigDict()
  # One of training/loss_names.LOSSES.
  loss.name = 'adatriplet'
  # Of adatriplet: 'paper' or 'code'; AutoMargin follows it.
  loss.form = 'paper'
  # Of adatriplet and triplet. '': the form's own, and 'semihard_region'; else
  # 'all', 'semihard_region' or 'hard_region'.
  loss.selection = ''
  loss.reduction = 'mean'
  # Of losses that take one; adatriplet is cosine.
  loss.distance = 'cosine'
  loss.negative_weight = 1.0
  # Margins when AutoMargin is fixed, and where schedules start.
  loss.margin = 0.25
  loss.beta = 0.1
  # Softplus in place of the hinge, where one negative is chosen.
  loss.soft = False
  # Of contrastive.
  loss.positive_margin = 0.0
  loss.squared = False
  # On the lengths of embeddings that are not normalised: '', 'squared_norm',
  # 'norm_deviation' or 'norm_spread'.
  loss.penalty = ''
  loss.penalty_weight = 1e-3
  loss.options = _loss_options()
  return loss


def _loss_options():
  """What single losses take besides, as their papers and authors set it."""
  return ml_collections.ConfigDict(
    {
      'semihard': {'variant': 'bounded'},
      'distance_weighted': {'cutoff': 0.5, 'nonzero_loss_cutoff': 1.4},
      'sct': {'negative_weight': 1.0, 'threshold': 0.8, 'temperature': 0.1},
      'wat': {'k': 2.0},
      'nt_xent': {'temperature': 0.1},
      'supcon': {'temperature': 0.1, 'positives': 'outside'},
      'multi_similarity': {
        'alpha': 2.0,
        'beta': 50.0,
        'base': 0.5,
        'epsilon': 0.1,
      },
      'circle': {'relaxation': 0.25, 'scale': 80.0},
      'lifted_structure': {'margin': 1.0, 'variant': 'generalized'},
      'arcface': {'scale': 64.0, 'margin': 0.5},
      'soft_triplet': {
        'centers_per_class': 5,
        'gamma': 0.1,
        'scale': 20.0,
        'margin': 0.01,
        'tau': 0.2,
      },
      'proxy_anchor': {'alpha': 32.0, 'margin': 0.1},
      'siamese': {'hidden': (128,)},
    }
  )


def _curriculum():
  curriculum = ml_collections.ConfigDict()
  # 'off', or when to go from loss.name to `then`: at a 'step', or at a 'stall'
  # of the loss.
  curriculum.switch = 'off'
  curriculum.then = 'hard'
  curriculum.at_step = 500
  # Where a stall counts, at the 'margin' or 'anywhere', and after how long.
  curriculum.stall_at = 'margin'
  curriculum.patience = 100
  curriculum.tolerance = 0.05
  curriculum.min_drop = 0.01
  curriculum.decay = 0.9
  return curriculum


def _memory():
  memory = ml_collections.ConfigDict()
  # Past embeddings that a batch is compared with besides; 0: none.
  memory.size = 0
  memory.warmup_steps = 1000
  return memory


def _automargin():
  automargin = ml_collections.ConfigDict()
  # 'step', 'epoch', 'ema', 'q1', 'q2', 'linear', 'exponential' or 'fixed'.
  automargin.mode = 'ema'
  # Of q1 and q2: quantiles of each 'batch', or of each 'epoch'.
  automargin.quantile_over = 'batch'
  automargin.k_gap = 2.0
  automargin.k_an = 2.0
  automargin.decay = 0.98
  # Where the schedules end.
  automargin.margin_end = 0.5
  automargin.beta_end = 0.1
  return automargin


def _optim():
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


def _train():
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


def _eval():
  evaluation = ml_collections.ConfigDict()
  # 'first_visit', 'first_image', 'left' or 'right'; see metrics/protocols.
  evaluation.gallery = 'first_visit'
  # Of 'first_image': how many of each subject are in the gallery.
  evaluation.gallery_images = 1
  evaluation.batch_size = 128
  # Bootstrap draws over subjects for the intervals.
  evaluation.draws = 2000
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


def _parallel():
  parallel = ml_collections.ConfigDict()
  # 'shard_map' or 'pmap'.
  parallel.transform = 'shard_map'
  # Devices of this process to use; 0: all.
  parallel.num_devices = 0
  return parallel


def _logging():
  logging = ml_collections.ConfigDict()
  logging.tensorboard = True
  logging.progress = True
  # Folder for compiled programs; '': the user's cache folder; 'off'.
  logging.compile_cache = ''
  return logging
