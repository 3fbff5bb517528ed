"""Small tables of images for the tests of tensorflow-datasets."""

import cv2
import pandas as pd


def write(folder, images, **columns):
  """Images of NumPy arrays as PNG (or of bytes as they are), and a table."""
  paths = []
  for i, image in enumerate(images):
    path = f'im {i}.png'
    data = image
    if not isinstance(image, bytes):
      data = cv2.imencode('.png', image)[1].tobytes()
    (folder / path).write_bytes(data)
    paths.append(path)
  frame = pd.DataFrame({'path': paths} | columns)
  frame.to_csv(folder / 't.csv', index=False)
  return folder / 't.csv'


def subjects(count):
  return [f'00{i // 2}' for i in range(count)]
