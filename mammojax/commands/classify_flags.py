"""The flags of `classify`, and which of them go together."""

from collections.abc import Sequence

from absl import flags

from mammojax import errors
from mammojax.commands import parsing, tables

_UNLABELLED = ('leave_out', 'negative')


def define(values: flags.FlagValues) -> None:
  """Adds the flags of `classify`."""
  tables.define(values)
  for name, default, meaning in (
    ('workdir', '', 'Folder of a finished run.'),
    ('out', '', 'Folder for the classifier, the numbers and the pictures.'),
  ):
    flags.DEFINE_string(name, default, meaning, flag_values=values)
  for name, meaning in (
    ('positive', 'Diagnoses that are positive, as mel,bcc.'),
    ('clinical', 'Columns of the table beside the embedding, as age,sex.'),
  ):
    flags.DEFINE_list(name, [], meaning, flag_values=values)
  _define_choices(values)
  flags.DEFINE_bool(
    'balanced', False,
    'Choose and measure on as many positive as negative images.',
    flag_values=values,
  )  # fmt: skip
  flags.DEFINE_float(
    'sensitivity', None, 'Wanted, with --threshold=sensitivity.',
    flag_values=values,
  )  # fmt: skip
  for number, size, meaning, least in (
    ('epochs', 50, 'Of --head=mlp.', 1),
    ('draws', 2000, 'Resamples of the subjects for intervals.', 1),
    ('seed', 0, 'Of the head, the resamples, --balanced and t-SNE.', 0),
  ):
    flags.DEFINE_integer(
      number, size, meaning, lower_bound=least, flag_values=values
    )


def _define_choices(values: flags.FlagValues) -> None:
  from mammojax.apps import probes
  from mammojax.metrics import choosing
  from mammojax.models import views

  for name, default, known, meaning in (
    (
      'head',
      'mlp',
      (*probes.FITS, probes.OWN.kind),
      "On the embeddings; 'own' is the decision of a run that decides.",
    ),
    ('class_weight', 'none', probes.CLASS_WEIGHTS, 'Of the loss or the votes.'),
    ('threshold', 'youden', choosing.RULES, 'One half, or best on validation.'),
    ('unlabelled', 'leave_out', _UNLABELLED, 'Images without diagnosis.'),
    (
      'views',
      'one',
      tuple(views.KINDS),
      'Of each image; their embeddings are averaged: with its mirror image, or '
      'both in four quarter turns.',
    ),
  ):
    flags.DEFINE_enum(name, default, known, meaning, flag_values=values)


def parse(values: flags.FlagValues, arguments: Sequence[str]) -> None:
  """Parses; raises UsageError where flags are missing or do not fit."""
  parsing.parse(values, 'classify', arguments)
  for name, what in (('workdir', 'FOLDER of a run'), ('out', 'FOLDER')):
    if not values[name].value:
      raise errors.UsageError(f'classify needs --{name}={what}.')
  if not [name for name in values.positive if name.strip()]:
    raise errors.UsageError(
      'classify needs --positive=NAME,NAME, the diagnoses that are positive.'
    )
  if values.head == 'own' and values.class_weight != 'none':
    raise errors.UsageError(
      '--head=own was trained with the run; --class_weight comes too late.'
    )
  _check_idle(values)
  wanted = values.sensitivity
  if (values.threshold == 'sensitivity') != (wanted is not None):
    raise errors.UsageError(
      '--threshold=sensitivity and --sensitivity=0.9 go together.'
    )
  if wanted is not None and not 0.0 < wanted <= 1.0:
    raise errors.UsageError(
      f'--sensitivity={wanted:g} must be above 0 and at most 1.'
    )


def _check_idle(values: flags.FlagValues) -> None:
  """Refuses flags that would do nothing."""
  of_table = [
    name
    for name in values
    if name in ('root', 'key', 'threads') or name.startswith('columns.')
  ]
  for name in of_table:
    if values[name].present and not values.table:
      raise errors.UsageError(
        f'--{name} says how --table is read; without --table the images are '
        'those of the run, read as they were in training.'
      )
  if values['epochs'].present and values.head != 'mlp':
    raise errors.UsageError(
      f'--epochs is of --head=mlp, and --head is {values.head}.'
    )
