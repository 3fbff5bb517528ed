"""`predict`: what a classifier says of single images."""

from collections.abc import Sequence

from absl import flags

from mammojax import errors
from mammojax.commands import parsing


def run(arguments: Sequence[str]) -> None:
  """Prints a calibrated probability and a decision for each image."""
  values = flags.FlagValues()
  flags.DEFINE_string(
    'model', '', 'Folder that classify wrote.', flag_values=values
  )
  flags.DEFINE_enum(
    'laterality', '', ('', 'L', 'R'), 'Of all images, where the run mirrors.',
    flag_values=values,
  )  # fmt: skip
  flags.DEFINE_string(
    'view', '', 'Of all images, such as MLO.', flag_values=values
  )
  flags.DEFINE_list(
    'clinical', [], 'Of all images, as age=60,sex=male, where the model was '
    'given these.', flag_values=values,
  )  # fmt: skip
  paths = parsing.parse(values, 'predict', arguments, 'IMAGE...')
  if not values.model:
    raise errors.UsageError('predict needs --model=FOLDER of a classifier.')
  if not paths:
    raise errors.UsageError('predict needs one or more images.')
  from mammojax.apps import classifiers, clinical, single_images

  model = classifiers.load(values.model)
  if values.clinical and not model.columns:
    raise errors.UsageError(
      f'{values.model!r} was given images alone; leave --clinical out.'
    )
  known = clinical.given(model.columns, values.clinical)
  found = single_images.probabilities(
    model, paths, laterality=values.laterality, view=values.view, known=known
  )
  unknown = [name for name, value in known.items() if not value]
  if unknown:
    print(f'Not known: {", ".join(unknown)}; see --clinical.')
  print(
    f'Probability of {", ".join(model.positive)}; positive from '
    f'{model.threshold:.4f} on.'
  )
  for path, probability in zip(paths, found.tolist(), strict=True):
    word = 'positive' if probability >= model.threshold else 'negative'
    # A name may hold line ends or escapes.
    print(f'{probability:.4f}  {word}  {path!r}')
