"""Images: where they come from, and what is done to each of them."""

import ml_collections


def data():
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
  # 'stop' at a subject in two splits of the table, or 'stamp' LEAK on all that
  # the run writes: for published splits that are torn.
  data.on_leak = 'stop'
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
