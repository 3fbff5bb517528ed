"""`classify`: a head on the frozen embeddings of a run, and how good it is."""

from collections.abc import Sequence
import pathlib

from absl import flags
import numpy as np

from mammojax import errors
from mammojax.commands import classify_flags, tables

RESULTS = 'classification.json'


def run(arguments: Sequence[str]) -> None:
  """Fits, calibrates and measures a classifier on frozen embeddings."""
  values = flags.FlagValues()
  classify_flags.define(values)
  classify_flags.parse(values, arguments)
  positive = [name.strip() for name in values.positive if name.strip()]
  folder = tables.make_folder(values.out)
  import rich

  from mammojax.apps import classifiers, classify
  from mammojax.report import classification as report
  from mammojax.training import saved
  from mammojax.training import workdir as workdirs

  with saved.understood(values.workdir):
    head = _head(values, saved.config(values.workdir), positive)
  network, config = classifiers.take_network(
    values.workdir, folder, values.views
  )
  images = _images(values, config, network)
  rows, counts = _rows(values, images.frame, positive)
  frame = images.frame.iloc[rows]
  truth = frame['diagnosis'].isin(positive).to_numpy()
  embeddings = network.embed(images, rows, config.eval.batch_size)
  columns, known = _clinical(values, config, frame, truth)
  found = classify.run(
    embeddings,
    truth,
    frame['subject'].to_numpy(str),
    frame['split'].to_numpy(str),
    known=known,
    head=head,
    class_weight=values.class_weight,
    rule=values.threshold,
    sensitivity=values.sensitivity,
    epochs=values.epochs,
    draws=values.draws,
    seed=values.seed,
  )
  classifiers.save(folder, network, found, positive, columns)
  summary = found.summary | {
    'positive': positive,
    'images': counts,
    'balanced': values.balanced,
    'views': values.views,
    'clinical': [column.name for column in columns],
    'network_sha256': network.sha256,
    'preprocess_id': network.recipe.identity,
    'curves': found.head.curves,
  }
  workdirs.atomic_write_json(folder / RESULTS, summary)
  _draw(folder, found, embeddings, truth, frame, positive)
  rich.print(report.results(summary))
  print(_words(found, counts, folder))


def _head(values: flags.FlagValues, config, positive):
  """What --head names: a kind to fit, or the decision of the network."""
  from mammojax.apps import probes

  if config.model.head == 'siamese':
    raise errors.UsageError(
      "The network of this run has model.head='siamese': it judges pairs of "
      'images, and gives nothing of a single one. What it decides is in the '
      "run's report.html."
    )
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


def _clinical(values: flags.FlagValues, config, frame, truth):
  """Columns of --clinical and their numbers, float32[n, k]; None without."""
  from mammojax.apps import clinical

  if not values.clinical:
    return (), None
  table = values.table or (
    config.data.table if config.data.source == 'table' else ''
  )
  if not table:
    raise errors.UsageError('--clinical names columns of a table; it has none.')
  known = clinical.read(table, frame['row'].to_numpy(), values.clinical)
  train = (frame['split'] == 'train').to_numpy()
  columns = clinical.learn(known, train, truth)
  return columns, clinical.encode(columns, known)


def _rows(values: flags.FlagValues, frame, positive):
  """Rows that take part, and how many there are of each split."""
  from mammojax.data import balance
  from mammojax.metrics import choosing

  diagnoses = frame['diagnosis']
  known = sorted(set(diagnoses) - {''})
  for name in positive:
    if name not in known:
      raise errors.unknown('diagnosis', name, known)
  is_known = (diagnoses != '') | (values.unlabelled == 'negative')
  is_positive = diagnoses.isin(positive)
  # The run may have held out others, which neither train nor choose.
  takes_part = is_known & frame['split'].isin(choosing.SPLITS)
  takes_part = takes_part.to_numpy(copy=True)
  counts = {}
  for split in choosing.SPLITS:
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
