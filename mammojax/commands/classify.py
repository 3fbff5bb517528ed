"""`classify`: a head on the frozen embeddings of a run, and how good it is."""

from collections.abc import Sequence
import pathlib

from absl import flags
import numpy as np

from mammojax import errors
from mammojax.commands import parsing, tables

_UNLABELLED = ('leave_out', 'negative')
RESULTS = 'classification.json'


def run(arguments: Sequence[str]) -> None:
  """Fits, calibrates and measures a classifier on frozen embeddings."""
  values = flags.FlagValues()
  _define(values)
  _parse(values, arguments)
  positive = [name.strip() for name in values.positive if name.strip()]
  folder = tables.make_folder(values.out)
  import rich

  from mammojax.apps import classifiers, classify
  from mammojax.report import classification as report
  from mammojax.training import workdir as workdirs

  network, config = classifiers.take_network(values.workdir, folder)
  images = _images(values, config, network)
  rows, counts = _rows(values, images.frame, positive)
  frame = images.frame.iloc[rows]
  truth = frame['diagnosis'].isin(positive).to_numpy()
  embeddings = network.embed(images, rows, config.eval.batch_size)
  found = classify.run(
    embeddings,
    truth,
    frame['subject'].to_numpy(str),
    frame['split'].to_numpy(str),
    head=values.head,
    class_weight=values.class_weight,
    rule=values.threshold,
    sensitivity=values.sensitivity,
    epochs=values.epochs,
    draws=values.draws,
    seed=values.seed,
  )
  classifiers.save(folder, network, found, positive)
  summary = found.summary | {
    'positive': positive,
    'images': counts,
    'network_sha256': network.sha256,
    'preprocess_id': network.recipe.identity,
    'curves': found.head.curves,
  }
  workdirs.atomic_write_json(folder / RESULTS, summary)
  _draw(folder, found, embeddings, truth, frame, positive)
  rich.print(report.results(summary))
  print(_words(found, counts, folder))


def _define(values: flags.FlagValues) -> None:
  from mammojax.apps import probes
  from mammojax.metrics import choosing

  tables.define(values)
  for name, default, meaning in (
    ('workdir', '', 'Folder of a finished run.'),
    ('out', '', 'Folder for the classifier, the numbers and the pictures.'),
  ):
    flags.DEFINE_string(name, default, meaning, flag_values=values)
  flags.DEFINE_list(
    'positive', [], 'Diagnoses that are positive, as mel,bcc.',
    flag_values=values,
  )  # fmt: skip
  for name, default, known, meaning in (
    ('head', 'mlp', tuple(probes.HEADS), 'On the embeddings.'),
    ('class_weight', 'none', probes.CLASS_WEIGHTS, 'Of the loss or the votes.'),
    ('threshold', 'youden', choosing.RULES, 'What validation maximises.'),
    ('unlabelled', 'leave_out', _UNLABELLED, 'Images without diagnosis.'),
  ):
    flags.DEFINE_enum(name, default, known, meaning, flag_values=values)
  flags.DEFINE_float(
    'sensitivity', None, 'Wanted, with --threshold=sensitivity.',
    flag_values=values,
  )  # fmt: skip
  for number, size, meaning, least in (
    ('epochs', 50, 'Of --head=mlp.', 1),
    ('draws', 2000, 'Resamples of the subjects for intervals.', 1),
    ('seed', 0, 'Of the head, the resamples and t-SNE.', 0),
  ):
    flags.DEFINE_integer(
      number, size, meaning, lower_bound=least, flag_values=values
    )


def _parse(values: flags.FlagValues, arguments: Sequence[str]) -> None:
  parsing.parse(values, 'classify', arguments)
  for name, what in (('workdir', 'FOLDER of a run'), ('out', 'FOLDER')):
    if not values[name].value:
      raise errors.UsageError(f'classify needs --{name}={what}.')
  if not [name for name in values.positive if name.strip()]:
    raise errors.UsageError(
      'classify needs --positive=NAME,NAME, the diagnoses that are positive.'
    )
  wanted = values.sensitivity
  if (values.threshold == 'sensitivity') != (wanted is not None):
    raise errors.UsageError(
      '--threshold=sensitivity and --sensitivity=0.9 go together.'
    )
  if wanted is not None and not 0.0 < wanted <= 1.0:
    raise errors.UsageError(
      f'--sensitivity={wanted:g} must be above 0 and at most 1.'
    )


def _images(values: flags.FlagValues, config, network):
  """The run's own images, or those of --table prepared as the run's."""
  if values.table:
    from mammojax.data import table

    frame, store = table.finish(
      *tables.examine(values, values.out),
      threads=values.threads,
      voi=network.recipe.options.voi,
    )
    return network.images(frame, store)
  from mammojax.training import inputs

  return inputs.image_set(config, values.workdir)


def _rows(values: flags.FlagValues, frame, positive):
  """Rows that take part, and how many there are of each split."""
  diagnoses = frame['diagnosis']
  known = sorted(set(diagnoses) - {''})
  for name in positive:
    if name not in known:
      raise errors.unknown('diagnosis', name, known)
  is_known = (diagnoses != '') | (values.unlabelled == 'negative')
  is_positive = diagnoses.isin(positive)
  counts = {}
  for split in ('train', 'validation', 'test'):
    here = frame['split'] == split
    counts[split] = {
      'positive': int((here & is_positive).sum()),
      'negative': int((here & is_known & ~is_positive).sum()),
      'left_out': int((here & ~is_known).sum()),
      'subjects': int(frame.loc[here & is_known, 'subject'].nunique()),
    }
  return np.flatnonzero(is_known), counts


def _draw(
  folder: pathlib.Path, found, embeddings, truth, frame, positive
) -> None:
  """Every figure, of the test split."""
  from mammojax.apps import classify
  from mammojax.metrics import choosing, classification, curves
  from mammojax.report import classification as report
  from mammojax.report import style

  test = frame['split'].to_numpy(str) == 'test'
  positives, probability = truth[test], found.probability()[test]
  plain = choosing.probability(found.logits[test])
  summary = found.summary['test']
  cells = summary['metrics']
  figures = {
    'confusion': report.confusion(summary['confusion']),
    'calibration': report.calibration(
      classification.bins(positives, plain),
      classification.bins(positives, probability),
      (summary['ece_before_calibration'], cells['ece']['value']),
    ),
  }
  lines = curves.points(positives, probability)
  if lines:
    figures['roc'] = report.roc(lines['roc'], cells['auc'])
    figures['precision_recall'] = report.precision_recall(
      lines['precision_recall'], cells['pr_auc'], float(positives.mean())
    )
  chosen, points = classify.plane(embeddings[test])
  if len(chosen):
    names = frame['diagnosis'].to_numpy(str)[test][chosen]
    figures['tsne'] = report.plane(points, names.tolist(), positive)
  if found.head.curves:
    figures['training'] = report.training(
      found.head.curves, found.head.options['epoch']
    )
  (folder / 'figures').mkdir(mode=0o700, exist_ok=True)
  for name, figure in figures.items():
    style.save(figure, folder / 'figures', name)


def _words(found, counts, folder: pathlib.Path) -> str:
  """What was chosen, of how much, and where it lies."""
  test, scale = counts['test'], found.summary['temperature']
  words = [
    f'Test: {test["positive"]} positive and {test["negative"]} negative images'
    f' of {test["subjects"]} subjects; {test["left_out"]} without diagnosis'
    ' left out.',
    f'Threshold {found.threshold:.4f} by {found.summary["threshold"]["rule"]}'
    f' and temperature {found.temperature:.3f}, chosen on validation.',
  ]
  if scale['at_bound']:
    words.append(
      'The temperature is at the end of its range: the validation images are '
      'told apart without error, or not at all; do not trust probabilities.'
    )
  words += [
    f'Numbers: {folder / RESULTS}, pictures: {folder / "figures"}',
    f'Single images: python -m mammojax predict --model={folder} IMAGE',
  ]
  return '\n'.join(words)
