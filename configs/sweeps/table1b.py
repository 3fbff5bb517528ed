"""Table 1b of AdaTriplet on phantoms: where its margins come from.

python -m mammojax sweep --config=configs/sweeps/table1b.py \
  --workdir=runs/table1b
110 runs of 1,500 steps: 22 settings, 5 seeds each. Of several settings in a
row, the one of the best validation mAP counts.
"""

from configs import base, published


def get_config():
  return base.get_config()


def get_sweep():
  return {
    'title': 'Table 1b: margins',
    # A list is scanned.
    'rows': {
      'Q1': {'automargin.mode': 'q1'},
      'Q2': {'automargin.mode': 'q2'},
      # The paper has 16 pairs too, and does not name them.
      'Grid search': {
        'automargin.mode': 'fixed',
        'loss.margin': [0.1, 0.25, 0.5, 1.0],
        'loss.beta': [0.0, 0.1, 0.3, 0.5],
      },
      'AutoMargin': {
        'automargin.k_gap': [2.0, 4.0],
        'automargin.k_an': [2.0, 4.0],
      },
    },
    'published': published.MARGINS,
    'published_name': 'OAI, MIDL 2022',
  }
