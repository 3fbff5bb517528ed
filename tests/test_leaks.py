"""Planted copies are found, and pictures that are merely alike are not."""

import copies
import cv2
import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import leaks, phantom, readers, splits, survey, table, torn

_ORIGINALS = 12


def _frame(paths, subjects=None):
  subjects = subjects or [f's{i}' for i in range(len(paths))]
  return pd.DataFrame({
    'row': np.arange(2, 2 + len(paths)),
    'path': paths,
    'subject': subjects,
    'item': paths,
    'diagnosis': '',
    'split': splits.assign(subjects),
  })  # fmt: skip


def _found(folder, frame, **options):
  """(pairs, survey) of pictures that lie in a folder."""
  (folder / 'table.csv').write_bytes(
    frame.drop(columns='row').to_csv(index=False).encode()
  )
  _, store, _ = table.examine(folder / 'table.csv')
  seen = survey.look(frame, store)
  return leaks.find(frame, seen, **options), seen


@pytest.fixture(scope='module', params=['texture', 'breast'])
def planted(request, tmp_path_factory):
  """Pairs among originals and one copy of each kind of change."""
  folder = tmp_path_factory.mktemp(request.param)
  rng = np.random.default_rng(7)
  draw = {'texture': copies.texture, 'breast': copies.breast}[request.param]
  pictures = {f'{i}.png': draw(rng) for i in range(_ORIGINALS)}
  for i, (name, change) in enumerate(copies.CHANGES.items()):
    pictures[f'{i}_{name}.png'] = change(pictures[f'{i}.png'], rng)
  for name, picture in pictures.items():
    copies.write(folder / name, picture)
  frame = _frame(list(pictures))
  pairs, _ = _found(folder, frame)
  return frame, pairs


def test_every_planted_copy_is_found_and_nothing_else(planted):
  frame, pairs = planted
  names = frame['path'].tolist()
  found = {(names[pair.first], names[pair.second]) for pair in pairs}
  wanted = {
    (f'{i}.png', f'{i}_{name}.png') for i, name in enumerate(copies.CHANGES)
  }
  assert found == wanted


def test_it_says_what_was_done(planted):
  frame, pairs = planted
  how = {frame['path'][pair.second]: pair.how for pair in pairs}
  assert how['0_mirrored.png'] == 'mirrored'
  assert how['1_upside_down.png'] == 'flipped top to bottom'
  assert how['3_turned_180.png'] == 'turned by 180 degrees'
  assert how['2_turned_90.png'] == 'turned by 90 degrees'
  assert how['4_turned_270.png'] == 'turned by 90 degrees'
  assert how['8_jpeg_60.png'] == 'as it is'
  share = how['7_cropped_15.png'].split(', ')[1]
  # 0.85 of both sides, give or take what an alignment may miss.
  assert share in [f'{n}% of the picture' for n in range(70, 75)]


def test_phantoms_of_different_women_are_not_one_picture(tmp_path):
  spec = phantom.PhantomSpec(
    train_women=8,
    validation_women=0,
    test_women=0,
    image_size=128,
    visits_months=(0,),
  )
  images = phantom.PhantomImages(spec, workers=1)
  women = images.frame['subject'].str.split('_').str[0]
  pixels = images.images(np.arange(len(women)))
  for place in range(len(women)):
    grey = np.rint(pixels[place, :, :, 0] * 65535).astype(np.uint16)
    copies.write(tmp_path / f'{place}.png', grey)
  paths = [f'{place}.png' for place in range(len(women))]
  pairs, _ = _found(tmp_path, _frame(paths))
  crossed = [p for p in pairs if women[p.first] != women[p.second]]
  assert not crossed


def test_equal_pixels_however_they_are_stored(tmp_path):
  rng = np.random.default_rng(1)
  grey = copies.texture(rng)
  copies.write(tmp_path / 'a.png', grey)
  copies.write(tmp_path / 'colour.png', np.stack([grey] * 3, axis=2))
  copies.write(tmp_path / 'deep.png', grey.astype(np.uint16) * 257)
  np.save(tmp_path / 'array.npy', grey)
  paths = ['a.png', 'colour.png', 'deep.png', 'array.npy']
  pairs, seen = _found(tmp_path, _frame(paths))
  assert [(p.first, p.second, p.kind) for p in pairs] == [
    (0, 1, 'exact'),
    (0, 2, 'exact'),
    (0, 3, 'exact'),
  ]
  assert seen.facts['bits'].tolist() == [8, 8, 16, 8]


def test_an_8_bit_copy_of_a_12_bit_image_in_16(tmp_path):
  rng = np.random.default_rng(2)
  grey = copies.texture(rng).astype(np.uint16) * 16
  deep = grey + rng.integers(0, 16, grey.shape, np.uint16)
  copies.write(tmp_path / 'deep.png', deep)
  copies.write(tmp_path / 'flat.png', (deep >> 4).astype(np.uint8))
  (pair,), _ = _found(tmp_path, _frame(['deep.png', 'flat.png']))
  assert pair.kind == 'near' and pair.score > 0.99


def test_constant_pictures_are_never_paired(tmp_path):
  for name, value in (('a', 0), ('b', 0), ('c', 90), ('d', 90)):
    copies.write(tmp_path / f'{name}.png', np.full((40, 40), value, np.uint8))
  frame = _frame(['a.png', 'b.png', 'c.png', 'd.png'])
  pairs, seen = _found(tmp_path, frame)
  assert pairs == []
  assert survey.is_constant(seen.facts).all()


def test_a_survey_without_levels_says_the_same_of_the_rest(tmp_path):
  rng = np.random.default_rng(6)
  grey = copies.texture(rng, 60)
  copies.write(tmp_path / 'colour.png', np.stack([grey] * 3, axis=2))
  almost = np.stack([grey] * 3, axis=2)
  almost[5, 7, 1] ^= 1
  copies.write(tmp_path / 'almost.png', almost)
  frame = _frame(['colour.png', 'almost.png', 'gone.png'])
  store = readers.open_store(tmp_path)
  whole = survey.look(frame, store)
  brief = survey.look(frame, store, counts_levels=False)
  assert whole.facts['channels'].tolist() == [1, 3, 0]
  left_out = {'levels', 'mean', 'deviation', 'black'}
  assert set(whole.facts) - set(brief.facts) == left_out
  pd.testing.assert_frame_equal(whole.facts[list(brief.facts)], brief.facts)
  np.testing.assert_array_equal(whole.pictures, brief.pictures)
  assert whole.histogram.sum() == 60 * 60 * 4 and not brief.histogram.any()


def test_close_embeddings_are_pairs_of_their_own_kind(tmp_path):
  rng = np.random.default_rng(3)
  for i in range(4):
    copies.write(tmp_path / f'{i}.png', copies.texture(rng))
  frame = _frame([f'{i}.png' for i in range(4)])
  angle = np.deg2rad(5)
  embeddings = np.array(
    [[1, 0], [0, 1], [np.cos(angle), np.sin(angle)], [0, 0]], np.float32
  )
  pairs, _ = _found(tmp_path, frame, embeddings=embeddings)
  (pair,) = pairs
  assert (pair.first, pair.second, pair.kind) == (0, 2, 'embedding')
  np.testing.assert_allclose(pair.score, np.cos(angle), rtol=1e-6)
  strict, _ = _found(tmp_path, frame, embeddings=embeddings, least_cosine=0.999)
  assert strict == []
  with pytest.raises(errors.UsageError, match='least_cosine'):
    _found(tmp_path, frame, least_cosine=0.0)


def _pair(first, second):
  return leaks.Pair(first, second, 'near', 0.9, '')


def test_groups_are_closed_under_subject_item_path_and_pairs():
  frame = pd.DataFrame({
    'subject': ['d', 'c', 'b', 'a', 'x', 'y', 'z'],
    'item': ['1', '2', '3', '4', '5', '5', '7'],
    'path': ['p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7'],
  })  # fmt: skip
  groups = leaks.together(frame, [_pair(0, 2), _pair(2, 3)])
  assert groups.tolist() == ['a', 'c', 'a', 'a', 'x', 'x', 'z']
  frame['subject'] = ['d', 'd', 'b', 'a', 'x', 'y', 'z']
  groups = leaks.together(frame, [_pair(0, 2), _pair(2, 3)])
  assert groups.tolist() == ['a', 'a', 'a', 'a', 'x', 'x', 'z']


def test_the_corrected_split_tears_no_group():
  rng = np.random.default_rng(4)
  count = 200
  frame = _frame(
    [f'{i}.png' for i in range(count)],
    [f's{n}' for n in rng.integers(0, 90, count)],
  )
  pairs = [_pair(*sorted(rng.choice(count, 2, False))) for _ in range(40)]
  groups = leaks.together(frame, pairs)
  assert leaks.crossing(frame, groups)
  corrected = leaks.resplit(frame, groups)
  assert leaks.crossing(corrected, groups) == []
  torn.check_disjoint(corrected)
  for pair in pairs:
    one, two = corrected.iloc[pair.first], corrected.iloc[pair.second]
    assert one['split'] == two['split'] and one['subject'] == two['subject']
  for subject, split in corrected[['subject', 'split']].to_numpy():
    bucket = splits.sha256_bucket(subject)
    want = 'train' if bucket < 7 else 'validation' if bucket == 7 else 'test'
    assert split == want
  assert corrected['subject_before'].tolist() == frame['subject'].tolist()


def test_a_turn_undoes_what_the_fingerprints_say():
  from mammojax.data import fingerprints

  rng = np.random.default_rng(5)
  picture = cv2.resize(copies.texture(rng), (128, 128))
  for turn in range(fingerprints.TURNS):
    other = fingerprints.turned(picture, turn)
    found = fingerprints.candidates(np.stack([picture, other]))
    assert found.likeness[0] > 0.999
    whole = [picture, other][found.whole[0]]
    part = [picture, other][found.part[0]]
    back = fingerprints.turned(part, int(found.turn[0]))
    assert (back == whole).all()
