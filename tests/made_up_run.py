"""A workdir as training leaves it, with made-up but likely numbers.

folder = made_up_run.build(tmp_path / 'run')
"""

import json

import numpy as np

YEARS = (1, 2, 3, 4, 6, 8)
# An id that would run code in a page that forgot to escape, and one that
# would in a spreadsheet.
EVIL = '<img onerror=alert(1)>'
FORMULA = '=HYPERLINK("http://example.com")'


def cell(value, width, used):
  """One number of metrics.json."""
  return {
    'value': value,
    'low': max(value - width, 0.0),
    'high': min(value + width, 1.0),
    'n_used': used,
    'n_total': used + 3,
  }


def scores(base, drop, width):
  """Results over all years and by year, falling by `drop` a year."""
  names = {'map': 0.0, 'map_at_r': -0.06, 'cmc@1': -0.04, 'cmc@5': 0.05}

  def cells(value, used):
    return {
      name: cell(float(np.clip(value + more, 0.004, 0.996)), width, used)
      for name, more in names.items()
    }

  found = {'all': cells(base, 1204)}
  for year in YEARS:
    found[f'year_{year}'] = cells(base + drop * (4 - year), 212 - 3 * year)
  return found


def metrics():
  """metrics.json of a run that went well."""
  return {
    'test': scores(0.843, 0.021, 0.028),
    'baselines': {
      'pixel': scores(0.231, 0.018, 0.025),
      'masked': scores(0.031, 0.001, 0.012),
      'chance': {
        'all': {n: {'value': 0.029} for n in ('map', 'cmc@1')},
        **{f'year_{y}': {'map': {'value': 0.027}} for y in YEARS},
      },
    },
    'seed': 0,
    'steps': 1200,
    'seconds': 391.4,
    'input_wait_fraction': 0.021,
    'images_per_second': 214.0,
    'best_step': 1000,
    'loss': 'adatriplet',
    'warnings': [],
  }


def records(rng):
  """Lines of metrics.jsonl."""
  for step in range(10, 1201, 10):
    near = np.exp(-step / 300)
    yield {
      'step': step,
      'split': 'train',
      'loss': 0.12 + 0.8 * near + 0.04 * rng.standard_normal(),
      'margin': 0.36 * (1 - near) + 0.02 + 0.008 * rng.standard_normal(),
      'beta': 0.5 + 0.12 * near,
      'active_fraction': 0.1 + 0.85 * near,
      'learning_rate': 1e-3,
    }
    if step % 100 == 0:
      yield {
        'step': step,
        'split': 'validation',
        'map': 0.84 - 0.6 * near,
        'cmc@1': 0.79 - 0.6 * near,
      }


def breast(rng, size=96):
  """uint8[size, size, 1], something between a half moon and a cloud."""
  y, x = np.mgrid[:size, :size] / size
  inside = (x / 0.8) ** 2 + ((y - 0.5) / 0.42) ** 2 < 1
  texture = sum(
    rng.random() * np.sin(6 * k * (x * rng.normal() + y * rng.normal()))
    for k in range(1, 6)
  )
  return np.uint8(np.clip(inside * (120 + 35 * texture), 0, 255))[..., None]


def evaluation(rng, num_queries=4):
  """Arrays of evaluation.npz."""
  edges = np.linspace(0, 2, 81)
  right = rng.random((num_queries, 5)) < 0.5
  right[0] = [True, True, False, False, False]
  rank = np.where(right.any(1), right.argmax(1) + 1, 23)
  hits = [[breast(rng) for _ in range(5)] for _ in range(num_queries)]
  names = [[f'w{rng.integers(999):04d}-L' for _ in range(5)] for _ in rank]
  names[0][0], names[0][1] = EVIL, FORMULA
  return {
    'distance_edges': edges,
    'mated_counts': np.histogram(rng.gamma(4, 0.06, 1204), edges)[0],
    'nonmated_counts': np.histogram(rng.normal(0.95, 0.2, 239000), edges)[0],
    'example_query': np.stack([breast(rng) for _ in range(num_queries)]),
    'example_hits': np.array(hits),
    'example_correct': right,
    'example_truth_rank': rank,
    'example_query_name': np.array([EVIL, 'w0012-R', 'große $x_1$', 'w0031-L']),
    'example_hit_names': np.array(names),
    'example_distance': np.sort(
      rng.random((num_queries, 5)).astype(np.float32), 1
    ),
  }


def build(folder, **changes):
  """Writes the files of a run; `changes` replace parts of metrics.json."""
  rng = np.random.default_rng(7)
  folder.mkdir(parents=True)
  config = {
    'name': 'adatriplet',
    'seed': 0,
    'data': {'name': 'phantom', 'columns': {'subject': EVIL}},
    'loss': {'name': 'adatriplet', 'negative_weight': 1.0},
  }
  environment = {
    'command': 'python main.py --config=configs/adatriplet.py',
    'git': {'commit': '0123456789abcdef', 'dirty': False},
    'versions': {'jax': '0.10.2'},
    'note': FORMULA,
  }
  contents = {
    'metrics.json': json.dumps(metrics() | changes),
    'config.json': json.dumps(config),
    'environment.json': json.dumps(environment),
    'metrics.jsonl': '\n'.join(json.dumps(r) for r in records(rng)),
  }
  for name, text in contents.items():
    (folder / name).write_text(text, 'utf-8')
  np.savez_compressed(folder / 'evaluation.npz', **evaluation(rng))
  return folder
