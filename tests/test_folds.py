"""Own images from a table, and cross-validation by subject."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import splits
from mammojax.training import folds, train
from mammojax.training import workdir as workdirs
from tests import tiny


def write_table(folder, rng, subjects=14):
  """Left and right pictures of made-up women, and their table."""
  lines = ['picture;patient;side']
  for number in range(subjects):
    base = cv2.GaussianBlur(rng.random((40, 30)), (0, 0), 4)
    base = (base - base.min()) / np.ptp(base)
    for side in 'LR':
      shot = np.clip(base + 0.05 * rng.normal(size=base.shape), 0, 1)
      shot = shot[:, ::-1] if side == 'R' else shot
      name = f'{number:03d}{side}.png'
      cv2.imwrite(str(folder / name), np.uint16(65535 * shot))
      lines.append(f'{name};{number:03d};{side}')
  path = folder / 'table.csv'
  path.write_text('\n'.join(lines) + '\n')
  return path


def config(cache, table, **changes):
  return tiny.config(
    cache,
    data__source='table',
    data__table=str(table),
    data__columns__path='picture',
    data__columns__subject='patient',
    data__columns__laterality='side',
    data__num_folds=2,
    eval__gallery='left',
    eval__masked_baseline=False,
    sampler__subjects_per_batch=3,
    sampler__images_per_subject=2,
    train__steps=2,
    train__eval_every=2,
    **changes,
  )


def test_folds_search_everybody_in_the_one_gallery(tmp_path, cache, rng):
  table = write_table(tmp_path, rng)
  chosen = config(cache, table)
  results = folds.run(chosen, tmp_path / 'run')
  # The pooled record is of all folds, not of the last one.
  saved = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert chosen.data.fold == saved['data']['fold'] == -1
  assert results['counts'] == {
    'queries': 14,
    'queries_without_mate': 0,
    'gallery': 14,
  }
  assert results['test']['all']['map']['n_used'] == 14
  assert results['baselines']['chance']['all']['cmc@1']['value'] == (
    pytest.approx(1 / 14)
  )
  # Both sides look alike once the right is mirrored, so pixels find them.
  assert results['baselines']['pixel']['all']['cmc@1']['value'] == 1.0
  parts = [
    json.loads((tmp_path / 'run' / f'fold_{k}' / 'metrics.json').read_text())
    for k in range(2)
  ]
  sizes = [part['counts']['queries'] for part in parts]
  assert sum(sizes) == 14 and min(sizes) > 0
  mean = sum(
    part['test']['all']['map']['value'] * size
    for part, size in zip(parts, sizes, strict=True)
  )
  assert results['test']['all']['map']['value'] == pytest.approx(mean / 14)


def test_a_fold_never_trains_on_the_subjects_it_tests(tmp_path, cache, rng):
  table = write_table(tmp_path, rng)
  tested = []
  for fold in range(2):
    trainer = train.Trainer(
      config(cache, table, data__fold=fold), tmp_path / 'run'
    )
    frame = trainer.images.frame
    training = set(frame['subject'].iloc[trainer.rows])
    queries = set(trainer.evaluation.test_protocol.query_subject)
    assert not training & queries
    tested += sorted(queries)
  assert sorted(tested) == sorted(f'{n:03d}' for n in range(14))


def test_a_fold_that_does_not_exist_is_refused(tmp_path, cache, rng):
  table = write_table(tmp_path, rng)
  with pytest.raises(errors.UsageError, match=r'data\.fold must be 0 to'):
    train.Trainer(config(cache, table, data__fold=2), tmp_path / 'run')


def test_folds_are_by_hash_of_the_subject(rng):
  subjects = [f'w{n}' for n in range(50)]
  frame = pd.DataFrame({'subject': subjects, 'split': 'train'})
  made = splits.with_folds(frame, 5, 3)
  for subject, split in zip(subjects, made['split'], strict=True):
    assert (split == 'test') == (splits.sha256_bucket(subject, 5) == 3)
  assert (frame['split'] == 'train').all()


@pytest.mark.parametrize(
  'spoil, error, message',
  [
    (lambda f: (f / '003R.png').unlink(), errors.DataError, '003R.png'),
    (
      lambda f: (f / '003R.png').write_bytes(b'<html>'),
      errors.DataError,
      '003R.png',
    ),
    (lambda f: (f / 'table.csv').unlink(), errors.DataError, 'table.csv'),
  ],
  ids=['missing image', 'broken image', 'missing table'],
)
def test_bad_files_are_named_before_training(
  tmp_path, cache, rng, spoil, error, message
):
  table = write_table(tmp_path, rng)
  spoil(tmp_path)
  with pytest.raises(error, match=message):
    train.Trainer(config(cache, table, data__fold=0), tmp_path / 'run')


def test_one_subject_in_two_splits_is_refused(tmp_path, cache, rng):
  table = write_table(tmp_path, rng)
  lines = table.read_text().splitlines()
  lines = [lines[0] + ';part'] + [
    f'{line};{"test" if "003R" in line else "train"}' for line in lines[1:]
  ]
  table.write_text('\n'.join(lines) + '\n')
  spoiled = config(cache, table, data__fold=0, data__columns__split='part')
  with pytest.raises(errors.IntegrityError, match='003'):
    train.Trainer(spoiled, tmp_path / 'run')


def test_chance_is_pooled_over_the_queries_with_a_mate(tmp_path, cache):
  folders, parts = [], []
  # Eight of the ten queries of the first fold have no mate.
  for fold, (lost, chance) in enumerate([(8, 0.5), (0, 0.1)]):
    folder = tmp_path / f'fold_{fold}'
    folder.mkdir()
    values = np.r_[np.full(lost, np.nan), 1.0, 0.0]
    subjects = np.array([f'{fold}-{n}' for n in range(len(values))])
    arrays = {'query_map': values, 'query_subject': subjects}
    chances = {'map': {'value': chance}}
    if fold == 0:
      # The gallery of the other has fewer than five images.
      arrays['query_cmc@5'] = values
      chances['cmc@5'] = {'value': 0.9}
    np.savez(folder / 'evaluation.npz', **arrays)
    folders.append(folder)
    parts.append(
      {
        'counts': {
          'queries': len(values),
          'queries_without_mate': lost,
          'gallery': 5,
        },
        'baselines': {
          'pixel': None,
          'masked': None,
          'chance': {'all': chances},
        },
        'test': {'all': {'map': {'value': 0.5}}},
        'warnings': [],
        'seconds': 1.0,
        'input_wait_fraction': 0.0,
        'images_per_second': 1.0,
      }
    )
  found = folds.pool(tiny.config(cache), tmp_path, folders, parts)
  chance = found['baselines']['chance']['all']['map']['value']
  assert chance == pytest.approx((2 * 0.5 + 2 * 0.1) / 4)
  assert found['test']['all']['map']['n_used'] == 4
  assert set(found['test']['all']) == {'map'}
  assert set(found['baselines']['chance']['all']) == {'map'}
  assert found['counts'] == {
    'queries': 12,
    'queries_without_mate': 8,
    'gallery': 5,
  }


def test_only_the_first_process_pools(tmp_path, cache, rng, monkeypatch):
  made = config(cache, write_table(tmp_path, rng))
  monkeypatch.setattr(folds.train, 'run', lambda *_: {})
  monkeypatch.setattr(folds.jax, 'process_index', lambda: 1)
  run = tmp_path / 'run'
  run.mkdir()
  # The first process is at work on it.
  with workdirs.Lock(run):
    assert folds.run(made, run) == {}
  assert not (run / 'metrics.json').exists()
