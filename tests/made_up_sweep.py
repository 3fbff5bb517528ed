"""A sweep file, and runs of it as training leaves them, with chosen numbers."""

import importlib
import json

import made_up_run

from mammojax.apps import sweep_plan

FILE = """
from configs import base

def get_config():
  return base.get_config()

def get_sweep():
  return {
    'title': 'Made up',
    'seeds': 3,
    'rows': {
      'Ada': {'automargin.k_gap': [2.0, 4.0], 'automargin.k_an': [2.0, 4.0]},
      'Triplet, fixed': {'loss.name': 'triplet', 'automargin.mode': 'fixed'},
    },
    'published': {'Ada': {'all': {'map': (96.9, 0.1)}}},
    'published_name': 'OAI',
  }
"""


def write(folder, text=FILE):
  """The sweep file, in a folder."""
  path = folder / 'made_up.py'
  path.write_text(text)
  return path


def runs(path, of='base', **options):
  """Plan and runs of a sweep file on the config of a name."""
  get_config = importlib.import_module(f'configs.{of}').get_config
  config = get_config()
  plan = sweep_plan.read(path, config, **options)
  return plan, sweep_plan.runs(plan, config, get_config())


def finish(folder, config, value, validation):
  """Writes what a finished run leaves; `value` is its test mAP over all."""
  metrics = made_up_run.metrics()
  metrics['test']['all']['map']['value'] = value
  metrics['test']['all']['cmc_all_shots@1'] = {'value': value / 2}
  metrics['best_step'] = 20
  records = [
    {'step': step, 'split': 'validation', 'map': found}
    for step, found in ((10, 0.99), (20, validation), (30, 0.01))
  ]
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'metrics.json').write_text(json.dumps(metrics))
  (folder / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, records)))
