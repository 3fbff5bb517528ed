"""The commands of `python -m mammojax`, one module each.

A module has a function `run(arguments)`; `REGISTRY` says where it is and what
it does in one line. Nothing is imported before it is asked for, so a wrong name
is answered at once.
"""

from collections.abc import Mapping

# name -> what it does.
REGISTRY: Mapping[str, str] = {
  'train': 'Train, evaluate on the test split, and write the report.',
  'sweep': 'Train rows of settings with several seeds, and write their table.',
  'report': 'Write report.html and figures/ of a finished run again.',
  'export': "Write the network of a run's best checkpoint as safetensors.",
  'classify': 'Fit and measure a classifier on the embeddings of a run.',
  'ensemble': 'Average the decisions of several runs, and measure them.',
  'predict': 'What a classifier says of single images.',
  'examine': 'What an embedding tells of classes: neighbours, pairs, panels.',
  'figures': 'Draw a figure that needs no run: loss-surface or selections.',
  'preview': 'Draw what each step of data.steps does to a few pictures.',
  'catalog': 'Write the table of a public data set, or list those known.',
  'patches': 'Draw phantom patches in pairs as the NumPy arrays of CBIS-DDSM.',
  'cut': 'Cut patches around the abnormalities that a table places.',
  'inspect': 'Summarise a table of images: counts, sizes, suspect files.',
  'leaks': 'Find copies and near copies in a table, and split it again.',
  'balance': 'Write a subset of a table with as many positives as negatives.',
  'to-tfds': 'Turn a table into a data set of tensorflow-datasets.',
}
