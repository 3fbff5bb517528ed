"""Small trees in the layouts of public data sets, and what reads them back."""

import csv

import dicom_files
import numpy as np

from mammojax.data import catalog, table


def write_csv(path, header, rows, delimiter=','):
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open('w', newline='') as file:
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(header)
    writer.writerows(rows)


def pixels(seed, shape=(6, 5), top=4096):
  """Levels of a film; no two seeds give the same."""
  return np.random.default_rng(seed).integers(0, top, shape, dtype=np.uint16)


def write_dicom(path, image, **tags):
  path.parent.mkdir(parents=True, exist_ok=True)
  made = dicom_files.dataset(image, **tags)
  path.write_bytes(dicom_files.to_bytes(made))


def read(name, root, tmp_path, **options):
  """An Entry, after its table was written and read back with its images."""
  made = catalog.read(name, root, **options)
  out = tmp_path / 'table-of-the-test.csv'
  made.frame.to_csv(out, index=False)
  frame, store = table.read(out, root=str(root))
  assert frame['path'].tolist() == made.frame['path'].tolist()
  assert frame['subject'].tolist() == made.frame['subject'].tolist()
  return made, store


def column(made, name):
  return made.frame[name].tolist()
