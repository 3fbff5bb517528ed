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
  from mammojax.training import saved
  from mammojax.training import workdir as workdirs

  network, config = classifiers.take_network(
    values.workdir, folder, values.views
  )
  with saved.understood(values.workdir):
    head = _head(values, config, positive)
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
    head=head,
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
    'balanced': values.balanced,
    'views': values.views,
    'network_sha256': network.sha256,
    'preprocess_id': network.recipe.identity,
    'curves': found.head.curves,
  }
  workdirs.atomic_write_json(folder / RESULTS, summary)
  _draw(folder, found, embeddings, truth, frame, positive)
  rich.print(report.results(summary))
  print(_words(found, counts, folder))


def _define(values: flags.FlagValues) -> None:
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
      tuple(probes.HEADS),
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


def _parse(values: flags.FlagValues, arguments: Sequence[str]) -> None:
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
  wanted = values.sensitivity
  if (values.threshold == 'sensitivity') != (wanted is not None):
    raise errors.UsageError(
      '--threshold=sensitivity and --sensitivity=0.9 go together.'
    )
  if wanted is not None and not 0.0 < wanted <= 1.0:
    raise errors.UsageError(
      f'--sensitivity={wanted:g} must be above 0 and at most 1.'
    )


def _head(values: flags.FlagValues, config, positive):
  """What --head names: a kind to fit, or the decision of the network."""
  from mammojax.apps import probes

  decides = config.model.head == 'classifier'
  if decides != (values.head == 'own'):
    raise errors.UsageError(
      f'The network of this run has model.head={config.model.head!r}: it gives '
      + (
        'the logit itself, take --head=own.'
        if decides
        else 'no logit of an image, so --head=own is not for it.'
      )
    )
  if not decides:
    return values.head
  if set(positive) != set(config.data.positive):
    raise errors.UsageError(
      f'This run tells {",".join(config.data.positive)} from the rest; '
      f'--positive={",".join(positive)} is another question.'
    )
  return probes.OWN


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
  from mammojax.training import inputs, saved

  with saved.understood(values.workdir):
    return inputs.image_set(config, values.workdir)


def _rows(values: flags.FlagValues, frame, positive):
  """Rows that take part, and how many there are of each split."""
  from mammojax.data import balance

  diagnoses = frame['diagnosis']
  known = sorted(set(diagnoses) - {''})
  for name in positive:
    if name not in known:
      raise errors.unknown('diagnosis', name, known)
  is_known = (diagnoses != '') | (values.unlabelled == 'negative')
  is_positive = diagnoses.isin(positive)
  takes_part = is_known.to_numpy().copy()
  counts = {}
  for split in ('train', 'validation', 'test'):
    here = (frame['split'] == split).to_numpy()
    rows = np.flatnonzero(here & takes_part)
    if values.balanced and split != 'train':
      stays = balance.parity(is_positive.to_numpy()[rows], values.seed)
      takes_part[rows[~stays]] = False
    kept = here & takes_part
    counts[split] = {
      'positive': int(is_positive[kept].sum()),
      'negative': int((~is_positive[kept]).sum()),
      'left_out': int((here & ~is_known).sum()),
      'thinned_out': len(rows) - int(kept.sum()),
      'subjects': int(frame.loc[kept, 'subject'].nunique()),
    }
  return np.flatnonzero(takes_part), counts


def _draw(
  folder: pathlib.Path, found, embeddings, truth, frame, positive
) -> None:
  """Every figure, of the test split."""
  from mammojax.apps import classify
  from mammojax.metrics import calibration, choosing, curves
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
      calibration.bins(positives, plain),
      calibration.bins(positives, probability),
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
  if len(chosen) and embeddings.shape[1] > 1:
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
  rule = found.summary['threshold']['rule']
  words = [
    f'Test: {test["positive"]} positive and {test["negative"]} negative images'
    f' of {test["subjects"]} subjects; {test["left_out"]} without diagnosis'
    f' and {test["thinned_out"]} of the larger class left out.',
    f'Threshold {found.threshold:.4f}'
    + (', fixed; ' if rule == 'half' else f' by {rule} and ')
    + f'temperature {found.temperature:.3f}, chosen on validation.',
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
