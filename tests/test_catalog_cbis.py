"""CBIS-DDSM: spelling of columns, swapped files, lesions, overlap."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import catalog, imagefiles

trees = pytest.importorskip('catalog_trees')

_PARTS = ('mass_train', 'mass_test', 'calc_train', 'calc_test')
_KINDS = {'mass': 'mass', 'calc': 'calcification'}
_WORDS = {
  'full': 'full mammogram images',
  'crop': 'cropped images',
  'mask': 'ROI mask images',
}
_MASK = np.array([[0, 255], [255, 0], [0, 0]], np.uint16)
_CROP = trees.pixels(1000, (3, 2))


class Tree:
  """The four csv files and the DICOM folders, with a lesion in each part."""

  def __init__(self, root, readable=False):
    self.root, self._readable = root, readable
    self._rows = {part: [] for part in _PARTS}
    self._listed = []
    for place, part in enumerate(_PARTS):
      self.lesion(part, f'P_9000{place}')

  def lesion(
    self, part, patient, *, view='LEFT_CC', number=1, pathology='BENIGN',
    crop=None, files=None,
  ):  # fmt: skip
    """A row and its files; `files` of the crop's series are name -> (pixels,
    words), and `crop` the name that the csv has for the crop."""
    kind, split = part.split('_')
    long = {'train': 'Training', 'test': 'Test'}[split]
    name = f'{kind.title()}-{long}_{patient}_{view}'
    film = {self.name(0): (trees.pixels(len(self._listed)), _WORDS['full'])}
    if files is None:
      files = {
        self.name(0): (_MASK, _WORDS['mask']),
        self.name(1): (trees.pixels(number, (3, 2)), _WORDS['crop']),
      }
    film_path = self._series(name, film)
    roi = self._series(f'{name}_{number}', files)
    side, _, direction = view.partition('_')
    self._rows[part].append([
      patient, '3', side, direction, number, _KINDS[kind], 'OVAL', 'ILL', 4,
      pathology, 5, f'{film_path}/000000.dcm',
      # Cells of the published tables end in a line break.
      f'{roi}/{crop or "000001.dcm"}\n', f'{roi}/000000.dcm\n',
    ])  # fmt: skip

  def write(self):
    for part, rows in self._rows.items():
      kind, split = part.split('_')
      density, shape = ('breast_density', 'mass shape')
      if kind == 'calc':
        density, shape = ('breast density', 'calc type')
      header = [
        'patient_id', density, 'left or right breast', 'image view',
        'abnormality id', 'abnormality type', shape, f'{kind} margins',
        'assessment', 'pathology', 'subtlety', 'image file path',
        'cropped image file path', 'ROI mask file path',
      ]  # fmt: skip
      path = self.root / f'{kind}_case_description_{split}_set.csv'
      trees.write_csv(path, header, rows)
    if self._readable:
      trees.write_csv(
        self.root / 'manifest-1' / 'metadata.csv',
        ['Series UID', 'File Location'],
        self._listed,
      )
    return self.root

  def name(self, number):
    return f'1-{number + 1}.dcm' if self._readable else f'00000{number}.dcm'

  def _series(self, name, files):
    """Writes a series; the path of its folder as the csv files have it."""
    uid = f'1.3.6.{len(self._listed)}'
    path = place = f'{name}/1.3.5/{uid}'
    if self._readable:
      place = f'{name}/07-20-2016-DDSM-NA-1/1.000000-NA-{len(self._listed)}'
    self._listed.append([uid, f'.\\CBIS-DDSM\\{place}'.replace('/', '\\')])
    for file, (image, words) in files.items():
      tags = {'SeriesDescription': words} if words else {}
      folder = 'manifest-1/CBIS-DDSM' if self._readable else 'CBIS-DDSM'
      # PatientID of the set names a view, never a patient.
      trees.write_dicom(
        self.root / folder / place / file, image, bits=16, PatientID=name,
        **tags,
      )  # fmt: skip
    return path


@pytest.fixture(params=[False, True], ids=['classic', 'readable'])
def tree(tmp_path, request):
  root = tmp_path / 'cbis'
  root.mkdir()
  return Tree(root, request.param)


def _of(made, patient):
  return made.frame[made.frame['subject'] == patient].to_dict('records')


def _pixels(store, path):
  image = imagefiles.ImageFiles(store).image(path)[..., 0]
  return np.rint(image.astype(np.float64) * 65535).astype(int)


def test_films_of_the_four_tables_under_both_spellings(tree, tmp_path):
  tree.lesion('calc_train', '00012', view='RIGHT_MLO', pathology='MALIGNANT')
  made, _ = trees.read('cbis_ddsm', tree.write(), tmp_path)
  assert len(made.frame) == 5
  (row,) = _of(made, '00012')
  assert row['laterality'] == 'R' and row['view'] == 'MLO'
  assert row['diagnosis'] == 'malignant' and row['density'] == '3'
  assert row['item'] == '00012_RMLO' and row['set'] == 'calc_train'
  assert 'R' not in row['subject']  # not the PatientID of the file
  assert [_of(made, f'P_9000{i}')[0]['split'] for i in (1, 3)] == ['test'] * 2
  assert set(made.frame['split']) <= {'train', 'validation', 'test'}


def test_several_lesions_of_a_film_are_one_row(tree, tmp_path):
  for number, pathology in ((1, 'BENIGN'), (2, 'MALIGNANT'), (3, 'BENIGN')):
    tree.lesion('mass_train', 'P_00001', number=number, pathology=pathology)
  tree.lesion('calc_train', 'P_00001', pathology='BENIGN')
  tree.lesion('mass_train', 'P_00001', view='LEFT_MLO')
  made, _ = trees.read('cbis_ddsm', tree.write(), tmp_path)
  cc, mlo = _of(made, 'P_00001')
  assert cc['pathology'] == 'benign;malignant;benign;benign'
  assert cc['lesion'] == '1;2;3;1'
  assert (cc['diagnosis'], mlo['diagnosis']) == ('malignant', 'benign')
  assert '9 lesions lie on 6 films' in '\n'.join(made.notes)
  kinds = catalog.read('cbis_ddsm', tree.root, task='abnormality')
  assert [row['diagnosis'] for row in _of(kinds, 'P_00001')] == [
    'mass_and_calcification', 'mass',
  ]  # fmt: skip


@pytest.mark.parametrize(
  'option, left, diagnosis',
  [
    ('merge', 6, 'benign'),
    ('keep', 6, 'benign_without_callback'),
    ('drop', 5, None),
  ],
)
def test_benign_without_callback(tree, tmp_path, option, left, diagnosis):
  tree.lesion('calc_train', 'P_1', pathology='BENIGN_WITHOUT_CALLBACK')
  tree.lesion('mass_train', 'P_1', view='LEFT_MLO')
  made, _ = trees.read('cbis_ddsm', tree.write(), tmp_path, callback=option)
  assert len(made.frame) == left
  by_view = {row['view']: row['diagnosis'] for row in _of(made, 'P_1')}
  assert by_view.get('CC') == diagnosis and by_view['MLO'] == 'benign'
  assert made.notes[0].startswith('1 of 6 lesions')


def test_the_worst_lesion_counts_also_beside_a_class_of_its_own(tree, tmp_path):
  for number, pathology in enumerate(
    ('BENIGN_WITHOUT_CALLBACK', 'MALIGNANT', 'BENIGN'), 1
  ):
    tree.lesion('mass_train', 'P_1', number=number, pathology=pathology)
  made, _ = trees.read('cbis_ddsm', tree.write(), tmp_path, callback='keep')
  (row,) = _of(made, 'P_1')
  assert row['diagnosis'] == 'malignant'


def test_a_patient_in_training_and_test(tree, tmp_path):
  tree.lesion('mass_train', 'P_1')
  tree.lesion('calc_test', 'P_1', view='LEFT_MLO')
  root = tree.write()
  with pytest.raises(errors.IntegrityError, match=r"1 patients.*'P_1'"):
    catalog.read('cbis_ddsm', root, overlap='refuse')
  dropped, _ = trees.read('cbis_ddsm', root, tmp_path)
  assert [row['view'] for row in _of(dropped, 'P_1')] == ['MLO']
  assert any("'P_1'" in note and 'left out' in note for note in dropped.notes)
  moved, _ = trees.read('cbis_ddsm', root, tmp_path, overlap='test')
  assert [row['split'] for row in _of(moved, 'P_1')] == ['test', 'test']


# Which of the two files is the crop, and what their descriptions say.
@pytest.mark.parametrize(
  'place, words, how',
  [
    (1, ('mask', 'crop'), 'by SeriesDescription 5'),
    (0, ('crop', 'mask'), 'by SeriesDescription 5'),
    (0, (None, None), 'by their pixels 1'),
    (1, (None, None), 'by their pixels 1'),
    (1, ('mask', 'mask'), 'by their pixels 1'),
    (0, ('mask', 'crop'), 'by their pixels 1'),
  ],
  ids=['as_named', 'swapped', 'undescribed', 'undescribed_as_named',
       'one_description', 'lying_description'],
)  # fmt: skip
def test_crops_are_told_from_masks(tree, tmp_path, place, words, how):
  images = [_MASK, _MASK]
  images[place] = _CROP
  files = {tree.name(i): (images[i], _WORDS.get(words[i])) for i in range(2)}
  tree.lesion('mass_train', 'P_1', files=files)
  made, store = trees.read('cbis_ddsm', tree.write(), tmp_path, images='crops')
  (row,) = _of(made, 'P_1')
  np.testing.assert_array_equal(_pixels(store, row['path']), _CROP)
  np.testing.assert_array_equal(_pixels(store, row['mask']), _MASK)
  note = '\n'.join(made.notes)
  assert f'{int(place == 0)} of 5 crops are not the file' in note
  assert how in note


def test_each_lesion_has_its_crop(tree, tmp_path):
  for number in (1, 2):
    tree.lesion('calc_train', 'P_1', number=number)
  made, store = trees.read(
    'cbis_ddsm', tree.write(), tmp_path, images='crops', task='abnormality'
  )
  rows = _of(made, 'P_1')
  assert [row['lesion'] for row in rows] == ['1', '2']
  assert {row['diagnosis'] for row in rows} == {'calcification'}
  for row in rows:
    want = trees.pixels(int(row['lesion']), (3, 2))
    np.testing.assert_array_equal(_pixels(store, row['path']), want)


def test_a_series_without_a_crop_is_refused(tree):
  files = {tree.name(i): (_MASK, _WORDS['mask']) for i in range(2)}
  tree.lesion('mass_train', 'P_1', files=files)
  with pytest.raises(errors.DataError, match='0 of these could be the crop'):
    catalog.read('cbis_ddsm', tree.write(), images='crops')


@pytest.mark.parametrize('images', ['full', 'crops'])
def test_missing_series_are_told_all_at_once(tree, images):
  tree.lesion('mass_train', 'P_1', files={})
  tree.lesion('mass_train', 'P_2', view='RIGHT_CC', files={})
  root = tree.write()
  word = {'full': '_RIGHT_CC', 'crops': '_CC_1'}[images]
  for path in list(root.rglob('*.dcm')):
    if '_P_2_' in str(path) or '_P_90000_' in str(path):
      path.unlink()
  with pytest.raises(errors.DataError) as caught:
    catalog.read('cbis_ddsm', root, images=images)
  wanted = {'full': '2 of 6', 'crops': '3 of 6'}[images]
  assert str(caught.value).startswith(f'{wanted} images')
  assert word in str(caught.value)


def test_values_that_are_not_of_this_set_are_refused(tree):
  tree.lesion('mass_train', 'P_1', pathology='UNSURE')
  # The row before it takes lines 2 to 4.
  with pytest.raises(errors.DataError, match=r"row 5: pathology is 'UNSURE'"):
    catalog.read('cbis_ddsm', tree.write())
