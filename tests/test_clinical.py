"""What is known besides the image: read, learnt, encoded, refused."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.apps import clinical
from mammojax.training import train


def frame(**columns):
  found = pd.DataFrame(columns, dtype=object)
  found.index = pd.Index(range(2, 2 + len(found)), name='row')
  return found


def ages_and_sexes(num=120):
  """Ages 0 to 9, and sexes of which 'x' is rare; every eighth age missing."""
  ages = [str(n % 10) if n % 8 else '' for n in range(num)]
  sexes = ['f' if n % 3 else 'm' for n in range(num)]
  sexes[5] = 'x'
  return frame(age=ages, sex=sexes)


def test_numbers_and_names_are_encoded_by_the_training_images():
  known = ages_and_sexes()
  train = np.arange(120) < 90
  positive = np.arange(120) % 7 < 3
  columns = clinical.learn(known, train, positive)
  mean = np.mean([n % 10 for n in range(90) if n % 8])
  assert columns[0] == clinical.Column('age', pytest.approx(mean), ())
  assert columns[1] == clinical.Column('sex', None, ('f', 'm'))
  got = clinical.encode(columns, known)
  want = [
    [
      n % 10 if n % 8 else mean,
      float(n % 3 > 0 and n != 5),
      float(n % 3 == 0 and n != 5),
    ]
    for n in range(120)
  ]
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, want, rtol=1e-6)
  again = clinical.from_json(json.loads(json.dumps(clinical.to_json(columns))))
  assert again == columns


def test_test_images_change_nothing_that_is_learnt():
  known, train = ages_and_sexes(), np.arange(120) < 90
  positive = np.arange(120) % 7 < 3
  other = known.copy()
  other.loc[other.index[~train], 'age'] = '1000'
  other.loc[other.index[~train], 'sex'] = 'y'
  assert clinical.learn(known, train, positive) == clinical.learn(
    other, train, positive
  )


def test_a_table_is_read_by_row(tmp_path):
  path = tmp_path / 'table.csv'
  path.write_text('path,age,sex\na.png,5, f\nb.png,,m\nc.png,7,f\n')
  found = clinical.read(path, np.array([4, 2]), ('sex', 'age'))
  assert found.to_numpy().tolist() == [['f', '7'], ['f', '5']]
  with pytest.raises(errors.UsageError, match="mean 'age'"):
    clinical.read(path, np.array([2]), ('agee',))
  with pytest.raises(errors.UsageError, match='names age twice'):
    clinical.read(path, np.array([2]), ('age', 'sex', 'age'))


def test_columns_that_cannot_serve_are_refused():
  train, positive = np.ones(120, bool), np.arange(120) % 7 < 3

  def learn(values):
    return clinical.learn(frame(x=values), train, positive)

  words = [str(n % 10) for n in range(120)]
  words[7] = 'seven'
  with pytest.raises(errors.DataError, match=r"1 words.*\n  row 9: 'seven'"):
    learn(words)
  with pytest.raises(errors.DataError, match='has 120 values, 0 of them'):
    learn([f'name{n}' for n in range(120)])
  with pytest.raises(errors.DataError, match='has 1 values'):
    learn(['f'] * 119 + [''])
  for answer in (['no', 'yes'], ['0', '1']):
    with pytest.raises(errors.IntegrityError, match='it is the answer'):
      learn([answer[int(p)] for p in positive])
  # Where nothing is known of an image, that is no answer.
  learn([('0', '1')[int(p)] if n > 9 else '1' for n, p in enumerate(positive)])


def test_what_is_typed_of_one_image_is_checked():
  columns = (
    clinical.Column('age', 50.0),
    clinical.Column('sex', None, ('f', 'm')),
  )
  found = clinical.given(columns, [' age = 60', 'sex=f'])
  assert found == {'age': '60', 'sex': 'f'}
  assert clinical.given(columns, []) == {'age': '', 'sex': ''}
  numbers = clinical.encode(columns, frame(age=['60', ''], sex=['f', '']))
  np.testing.assert_array_equal(numbers, [[60, 1, 0], [50, 0, 0]])
  for pair, words in (
    ('age', 'NAME=VALUE'),
    ('agee=3', "mean 'age'"),
    ('sex=g', 'Unknown value of sex'),
    ('age=old', 'age is a number'),
    ('age=nan', 'age is a number'),
    ('age=6_0', 'age is a number'),
  ):
    with pytest.raises(errors.UsageError, match=words):
      clinical.given(columns, [pair])
  with pytest.raises(errors.UsageError, match='age twice'):
    clinical.given(columns, ['age=1', 'age=2'])


def lesions(folder, rng, subjects=80):
  """Pictures of noise, of which the age tells what they show."""
  lines = ['path,subject,diagnosis,age,centre,view']
  for number in range(subjects):
    is_old = number % 2 == 0
    # Some are otherwise, or the age would be the answer itself.
    name = 'mel' if is_old != (number % 10 == 3) else 'nv'
    for place in 'ab':
      picture = rng.integers(0, 255, (32, 32), np.uint8)
      cv2.imwrite(str(folder / f'{number}{place}.png'), picture)
      age = (75 if is_old else 30) + number % 7
      lines.append(f'{number}{place}.png,{number},{name},{age},only,{place}')
  path = folder / 'table.csv'
  path.write_text('\n'.join(lines) + '\n')
  return path


def classify(run, out, *more):
  return cli.main(
    ['classify', f'--workdir={run}', '--positive=mel', f'--out={out}',
     '--head=linear', '--draws=50', *more]
  )  # fmt: skip


@pytest.mark.slow
def test_the_commands_take_what_is_known(tmp_path, cache, rng, capsys):
  table, out = lesions(tmp_path, rng), tmp_path / 'out'
  config = tiny.config(
    cache,
    data__source='table',
    data__table=str(table),
    data__steps=('fit',),
    eval__gallery='first_image',
    eval__masked_baseline=False,
    sampler__images_per_subject=2,
    train__steps=2,
    train__eval_every=2,
  )
  train.run(config, tmp_path / 'run')
  assert classify(tmp_path / 'run', tmp_path / 'images') == 0
  assert classify(tmp_path / 'run', out, '--clinical=age,view') == 0
  areas = [
    json.loads((folder / 'classification.json').read_text())['test']['metrics'][
      'auc'
    ]['value']
    for folder in (tmp_path / 'images', out)
  ]
  # The pictures are noise; ages err for some of the test subjects.
  assert areas[0] < 0.7 < 0.75 < areas[1]
  capsys.readouterr()
  said = {}
  for age in ('30', '80', ''):
    command = ['predict', f'--model={out}', f'--clinical=age={age},view=a']
    assert cli.main([*command, str(tmp_path / '0a.png')]) == 0
    lines = capsys.readouterr().out.splitlines()
    said[age] = float(lines[-1].split()[0])
    assert ('Not known: age' in lines[0]) == (age == '')
  assert said['30'] < 0.5 < said['80']
  assert said['30'] <= said[''] <= said['80']
  for model, flag, words in (
    (out, '--clinical=sex=m', 'Unknown name of --clinical'),
    (tmp_path / 'images', '--clinical=age=3', 'images alone'),
  ):
    assert cli.main(['predict', f'--model={model}', flag, 'a.png']) == 2
    assert words in capsys.readouterr().err
  for flag, code, words in (
    ('--clinical=agee', 2, "mean 'age'"),
    ('--clinical=centre', 3, 'has 1 values'),
    ('--clinical=diagnosis', 4, 'it is the answer'),
  ):
    assert classify(tmp_path / 'run', tmp_path / flag, flag) == code
    assert words in capsys.readouterr().err
