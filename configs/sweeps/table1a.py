"""Table 1a of AdaTriplet on phantoms: the weight of its negative term.

python -m mammojax sweep --config=configs/sweeps/table1a.py \
  --workdir=runs/table1a
20 runs of 1,500 steps, twenty minutes each on one CPU core.
"""

from configs import base, published


def get_config():
  return base.get_config()


def get_sweep():
  return {
    'title': 'Table 1a: weight of the negative term',
    'rows': {
      f'lambda={name}': {'loss.negative_weight': weight}
      for name, weight in (('0', 0.0), ('0.5', 0.5), ('1', 1.0), ('2', 2.0))
    },
    'published': published.NEGATIVE_WEIGHT,
    'published_name': 'OAI, MIDL 2022',
  }
