"""Stores that stay inside their root, and decoding that loses nothing."""

import concurrent.futures
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest

from mammojax import errors
from mammojax.data import readers


def _encode(image, suffix='.png', *options):
  done, data = cv2.imencode(suffix, image, list(options))
  assert done
  return data.tobytes()


def _chunk(kind, data):
  return (
    struct.pack('>I', len(data))
    + kind
    + data
    + struct.pack('>I', zlib.crc32(kind + data))
  )


def _png(kind, bits, width, height, raw, extra=b''):
  """A PNG made by hand from filtered scan lines."""
  head = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + _chunk(b'IHDR', head)
    + extra
    + _chunk(b'IDAT', zlib.compress(raw))
    + _chunk(b'IEND', b'')
  )


def test_every_level_of_16_bit_survives():
  ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
  image = readers.decode(_encode(ramp), 'ramp.png')
  assert image.dtype == np.float32 and image.shape == (256, 256, 1)
  assert len(np.unique(image)) == 65536
  assert image.min() == 0.0 and image.max() == 1.0
  np.testing.assert_array_equal(
    np.rint(image[..., 0].astype(np.float64) * 65535), ramp
  )


def test_every_level_of_8_bit_is_value_over_255():
  ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
  image = readers.decode(_encode(ramp), 'ramp.png')
  want = (np.arange(256) / 255).reshape(16, 16, 1)
  np.testing.assert_allclose(image, want, rtol=1e-7)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_colour_is_red_green_blue(dtype, rng):
  full = np.iinfo(dtype).max
  red_green_blue = rng.integers(0, full, (5, 7, 3), dtype=dtype)
  data = _encode(np.ascontiguousarray(red_green_blue[..., ::-1]))
  image = readers.decode(data, 'colour.png')
  np.testing.assert_allclose(image, red_green_blue / full, atol=1e-7)


def test_jpeg_grey_and_colour():
  grey = np.full((24, 40), 100, np.uint8)
  image = readers.decode(_encode(grey, '.jpg'), 'grey.jpg')
  assert image.shape == (24, 40, 1)
  np.testing.assert_allclose(image, 100 / 255, atol=1.5 / 255)
  blue_first = np.zeros((24, 40, 3), np.uint8)
  blue_first[..., 2] = 200
  image = readers.decode(_encode(blue_first, '.jpg'), 'red.jpg')
  want = np.broadcast_to([200 / 255, 0, 0], image.shape)
  np.testing.assert_allclose(image, want, atol=3 / 255)


@pytest.mark.parametrize(
  'data, want',
  [
    (_png(0, 1, 8, 1, b'\0\xa5'), [255, 0, 255, 0, 0, 255, 0, 255]),
    (_png(0, 2, 4, 1, b'\0\x1b'), [0, 85, 170, 255]),
    (_png(4, 8, 2, 1, b'\0\x10\xff\x20\x00'), [16, 32]),
    (_png(6, 8, 1, 1, b'\0\1\2\3\4'), [[1, 2, 3]]),
    (
      _png(3, 8, 2, 1, b'\0\0\1', _chunk(b'PLTE', b'\xff\0\0\0\0\xff')),
      [[255, 0, 0], [0, 0, 255]],
    ),
  ],
  ids=['1-bit', '2-bit', 'grey-alpha', 'colour-alpha', 'palette'],
)
def test_unusual_png_kinds(data, want):
  image = readers.decode(data, 'x.png')
  want = np.array(want, np.float64).reshape(image.shape) / 255
  np.testing.assert_allclose(image, want, atol=1e-7)


@pytest.mark.parametrize(
  'data, want',
  [
    (_encode(np.zeros((3, 5), np.uint16)), (5, 3, 1, 16)),
    (_encode(np.zeros((3, 5, 3), np.uint8)), (5, 3, 3, 8)),
    (_encode(np.zeros((3, 5), np.uint8), '.jpg'), (5, 3, 1, 8)),
    (
      _encode(
        np.zeros((30, 50, 3), np.uint8),
        '.jpg',
        cv2.IMWRITE_JPEG_PROGRESSIVE,
        1,
      ),
      (50, 30, 3, 8),
    ),
  ],
  ids=['png16', 'png-colour', 'jpeg', 'jpeg-progressive'],
)
def test_inspect_reads_the_header(data, want):
  assert readers.inspect(data, 'x') == want
  # The header is enough: the pixels need not be there.
  assert readers.inspect(data[: 2 * len(data) // 3], 'x') == want or (
    len(data) < 700
  )


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('share', [0.3, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(suffix, share, rng):
  noise = rng.integers(0, 255, (64, 64), dtype=np.uint8)
  data = _encode(noise, suffix)
  readers.decode(data, 'whole')
  with pytest.raises(errors.DataError, match=r'cut\.x.*(truncated|cut)'):
    readers.decode(data[: int(share * len(data))], 'cut.x')


def test_a_thumbnail_does_not_hide_a_truncated_jpeg(rng):
  noise = rng.integers(0, 255, (64, 64), dtype=np.uint8)
  data, small = _encode(noise, '.jpg'), _encode(noise[:8, :8], '.jpg')
  marker = b'\xff\xe1' + struct.pack('>H', len(small) + 2) + small
  whole = data[:2] + marker + data[2:]
  np.testing.assert_array_equal(
    readers.decode(whole, 'a'), readers.decode(data, 'b')
  )
  with pytest.raises(errors.DataError, match='truncated'):
    readers.decode(whole[:-40], 'a')


def test_bombs_are_refused_before_decoding():
  data = _png(0, 8, 20000, 20000, b'')
  with pytest.raises(errors.DataError, match=r'20000 x 20000 pixels.*100 mega'):
    readers.decode(data, 'bomb.png')


def test_too_few_pixels_are_refused():
  data = _png(0, 8, 4, 4, b'\0\1\2\3\4')
  with pytest.raises(errors.DataError, match='cannot be decoded'):
    readers.decode(data, 'short.png')


@pytest.mark.parametrize(
  'data, message',
  [
    (b'', 'an empty file'),
    (b'<!DOCTYPE html><html>404</html>', 'an HTML'),
    (b'\n <html>', 'an HTML'),
    (b'\0' * 128 + b'DICM' + b'\0' * 9, 'a DICOM'),
    (b'II*\0' + b'\0' * 20, 'a TIFF'),
    (b'GIF89a' + b'\0' * 20, 'a GIF'),
    (b'hello world', "begin with b'hello wo'"),
    (b'\x89PNG\r\n\x1a\n', 'header is cut'),
    (b'\xff\xd8\xff\xe0\0\x10', 'header is cut'),
    (b'\xff\xd8\xff', 'header is cut'),
  ],
)
def test_other_files_are_named(data, message):
  with pytest.raises(errors.DataError, match=message):
    readers.decode(data, 'page.png')


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / 'root'
  (root / 'a b').mkdir(parents=True)
  (root / 'a b' / 'ü$.bin').write_bytes(b'inside')
  (tmp_path / 'secret.bin').write_bytes(b'outside')
  return root


_ESCAPES = (
  '../secret.bin',
  'a b/../../secret.bin',
  '/etc/hostname',
  '',
  '..\\secret.bin',
  'C:\\secret.bin',
  'a\0b',
)


def test_folder_reads_inside_and_refuses_outside(folder):
  store = readers.open_store(folder)
  assert store.read('a b/ü$.bin') == b'inside'
  assert store.exists('a b/ü$.bin') and not store.exists('none.bin')
  assert not store.exists('a b')
  for path in _ESCAPES:
    with pytest.raises(errors.DataError):
      store.read(path)
    with pytest.raises(errors.DataError):
      store.exists(path)
  with pytest.raises(errors.DataError, match=r"'none\.bin' does not exist"):
    store.read('none.bin')


def test_folder_refuses_links_that_lead_out(folder):
  (folder / 'out').symlink_to(folder.parent)
  (folder / 'file').symlink_to(folder.parent / 'secret.bin')
  (folder / 'in').symlink_to(folder / 'a b')
  (folder / 'loop').symlink_to(folder / 'loop')
  store = readers.open_store(folder)
  for path in ('out/secret.bin', 'file'):
    with pytest.raises(errors.DataError, match='leads outside'):
      store.read(path)
  assert store.read('in/ü$.bin') == b'inside'
  with pytest.raises(errors.DataError):
    store.read('loop')


def test_zip_reads_members_and_refuses_escapes(tmp_path):
  archive = tmp_path / 'images.zip'
  link = zipfile.ZipInfo('link')
  link.external_attr = 0o120777 << 16
  with zipfile.ZipFile(archive, 'w') as file:
    file.writestr('a b/ü.bin', b'inside')
    file.writestr('../evil.bin', b'evil')
    file.writestr('/abs.bin', b'evil')
    file.writestr(link, '/etc/passwd')
  store = readers.open_store(archive)
  assert store.read('a b/ü.bin') == b'inside'
  assert not store.exists('none') and not store.exists('a b/')
  for path in ('../evil.bin', '/abs.bin', *_ESCAPES):
    with pytest.raises(errors.DataError):
      store.read(path)
  with pytest.raises(errors.DataError, match='is a link'):
    store.read('link')
  assert sorted(p.name for p in tmp_path.iterdir()) == ['images.zip']
  store.close()


def test_zip_bomb_and_damage_are_refused(tmp_path):
  archive = tmp_path / 'images.zip'
  with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('bomb.png', bytes(20 << 20))
    file.writestr(zipfile.ZipInfo('plain.bin'), b'MARK' * 10)
  data = archive.read_bytes()
  store = readers.open_store(archive)
  with pytest.raises(errors.DataError, match='ratio of 200'):
    store.read('bomb.png')
  store.close()
  archive.write_bytes(data.replace(b'MARKMARK', b'MARKBARK', 1))
  store = readers.open_store(archive)
  with pytest.raises(errors.DataError, match=r'plain.bin.*CRC'):
    store.read('plain.bin')
  store.close()


def test_zip_may_be_read_from_threads(tmp_path):
  archive = tmp_path / 'images.zip'
  want = {f'{i}.bin': bytes([i]) * (1000 + i) for i in range(60)}
  with zipfile.ZipFile(archive, 'w') as file:
    for name, data in want.items():
      file.writestr(name, data)
  store = readers.open_store(archive)
  names = list(want) * 10
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for name, data in zip(names, pool.map(store.read, names), strict=True):
      assert data == want[name]
  store.close()


def test_open_store_says_what_is_wrong(tmp_path):
  (tmp_path / 'text.zip').write_text('no archive')
  with pytest.raises(errors.DataError, match='is not a zip'):
    readers.open_store(tmp_path / 'text.zip')
  with pytest.raises(errors.DataError, match='does not exist'):
    readers.open_store(tmp_path / 'none')
