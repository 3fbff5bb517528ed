"""PGM: every level survives, and every damage is told."""

import cv2
import numpy as np
import pytest

from mammojax import errors
from mammojax.data import readers


def _pgm(levels, maxval, kind='P5'):
  height, width = levels.shape
  head = f'{kind}\n# made here\n{width} {height}\n{maxval}\n'.encode()
  if kind == 'P2':
    return head + '\n'.join(map(str, levels.ravel())).encode()
  return head + levels.astype('>u2' if maxval > 255 else 'u1').tobytes()


@pytest.mark.parametrize('kind', ['P5', 'P2'])
@pytest.mark.parametrize('bits', [1, 8, 10, 12, 16])
def test_every_level_of_a_pgm_survives(kind, bits):
  full = (1 << bits) - 1
  ramp = np.arange(1 << bits).reshape(1 << bits // 2, -1)
  data = _pgm(ramp, full, kind)
  image = readers.decode(data, 'ramp.pgm')
  assert image.dtype == np.float32 and image.shape == (*ramp.shape, 1)
  assert len(np.unique(image)) == 1 << bits
  np.testing.assert_array_equal(
    np.rint(image[..., 0].astype(np.float64) * full), ramp
  )
  size = (ramp.shape[1], ramp.shape[0], 1, bits)
  assert readers.inspect(data, 'ramp.pgm') == size


def test_a_pgm_equals_what_opencv_reads(rng):
  grey = rng.integers(0, 65536, (7, 9), dtype=np.uint16)
  done, data = cv2.imencode('.pgm', grey)
  assert done
  image = readers.decode(data.tobytes(), 'x.pgm')[..., 0]
  np.testing.assert_allclose(image, grey / 65535, atol=1e-7)


@pytest.mark.parametrize(
  'data, message',
  [
    (b'P5', 'PGM header is cut'),
    (b'P5\n4', 'PGM header is cut'),
    (b'P5 4 4 70000\n' + bytes(32), 'maxval 70000'),
    (b'P5 4 4 0\n' + bytes(16), 'maxval 0'),
    (b'P5 4 4 255\n' + bytes(15), '15 of 16 bytes; copy it again'),
    (b'P5 4 4 4095\n' + bytes(31), '31 of 32 bytes'),
    (b'P5 2 2 9\n\x09\x0a\x01\x02', 'levels from 1 to 10'),
    (b'P5 2 2 9\n' + bytes(4) + b'P5 2 2 9', 'one image a file'),
    (b'P5 20000 20000 255\n', '20000 x 20000 pixels; refused'),
    (b'P5 0 4 255\n', '0 x 4 pixels'),
    (b'P2 2 2 9\n1 2 3', '3 of 4 levels'),
    (b'P2 2 2 9\n1 2 3 4 5', '5 levels for 4 pixels'),
    (b'P2 2 2 9\n1 2 x 4', 'no whole number'),
    (b'P2 2 2 9\n1 2 -3 4', 'levels from -3'),
    (b'P6 1 1 255\n\0\0\0', 'a colour PPM: write it as PNG'),
  ],
)
def test_damaged_pgm_are_refused(data, message):
  with pytest.raises(errors.DataError, match=f"'x.pgm'.*{message}"):
    readers.decode(data, 'x.pgm')


def test_a_comment_or_line_break_does_not_shift_a_pgm():
  # The first three levels look like white space; the last byte is none.
  data = b'P5 # one\n#two\n2 #three\n 2\n10\n' + b'\n\t\t\x01' + b'\n'
  image = readers.decode(data, 'x.pgm')
  np.testing.assert_allclose(image[..., 0], [[1.0, 0.9], [0.9, 0.1]])
