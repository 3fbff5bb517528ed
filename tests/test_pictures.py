"""PNG and JPEG bytes that are not what they were."""

import cv2
import numpy as np
import pytest

from mammojax import errors
from mammojax.data import pictures


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_a_flipped_bit_anywhere_in_a_png_is_refused(rng, dtype):
  grey = rng.integers(0, 255, (32, 32), dtype=np.uint8).astype(dtype)
  whole = cv2.imencode('.png', grey)[1].tobytes()
  for at in rng.integers(8, len(whole), 200):
    data = bytearray(whole)
    data[at] ^= 1 << int(rng.integers(8))
    with pytest.raises(errors.DataError, match=r"^'flip\.png'"):
      pictures.decode(bytes(data), 'flip.png')
  data = bytearray(whole)
  data[len(data) // 2] ^= 4
  with pytest.raises(errors.DataError, match='wrong checksum at byte'):
    pictures.decode(bytes(data), 'flip.png')
