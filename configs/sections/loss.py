"""The loss, its margins, and what changes it in the course of training."""

import ml_collections


def loss():
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
  loss.options = _options()
  return loss


def _options():
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


def automargin():
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


def curriculum():
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


def memory():
  memory = ml_collections.ConfigDict()
  # Past embeddings that a batch is compared with besides; 0: none.
  memory.size = 0
  memory.warmup_steps = 1000
  return memory
