"""The cache of phantoms: private, reused, and rendered again when damaged."""

import json
import stat

import numpy as np
import pytest
import small_phantom

from mammojax import errors
from mammojax.data import phantom
from mammojax.data.phantom import cache

TINY = small_phantom.TINY


def _only(folder):
  (found,) = list(folder.iterdir())
  return found


def test_cache_is_private_reused_and_named_by_spec(tmp_path, monkeypatch):
  root = tmp_path / 'a b'
  first = phantom.PhantomImages(TINY, root, workers=1)
  folder = _only(root)
  assert folder.name == cache.folder_name(TINY)
  assert stat.S_IMODE(folder.stat().st_mode) == 0o700
  assert {p.name for p in folder.iterdir()} == {*cache.FILES, 'sums.json'}
  for path in folder.iterdir():
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
  stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
  second = phantom.PhantomImages(TINY, root, workers=1)
  assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == stamps
  rows = np.arange(len(first.frame))
  memory = phantom.PhantomImages(TINY, workers=1)
  for other in (first, second):
    np.testing.assert_array_equal(other.images(rows), memory.images(rows))
    for got, want in zip(other.masks(rows), memory.masks(rows), strict=True):
      np.testing.assert_array_equal(got, want)
  before = cache.folder_name(TINY)
  monkeypatch.setattr(phantom.spec, 'PHANTOM_VERSION', 999)
  assert cache.folder_name(TINY) != before


def _flip_bit(folder):
  path = folder / 'images.npy'
  raw = bytearray(path.read_bytes())
  raw[-100] ^= 1
  path.write_bytes(raw)


def _cut_short(folder):
  path = folder / 'masks.npy'
  path.write_bytes(path.read_bytes()[:-50])


def _lose_sums(folder):
  (folder / 'sums.json').unlink()


def _foreign_sums(folder):
  (folder / 'sums.json').write_text(json.dumps([1]))


@pytest.mark.parametrize(
  'damage', [_flip_bit, _cut_short, _lose_sums, _foreign_sums]
)
def test_damaged_cache_is_rendered_again(tmp_path, caplog, damage):
  whole = phantom.PhantomImages(TINY, tmp_path, workers=1)
  rows = np.arange(len(whole.frame))
  want = whole.images(rows)
  damage(_only(tmp_path))
  again = phantom.PhantomImages(TINY, tmp_path, workers=1)
  assert 'rendering it again' in caplog.text
  np.testing.assert_array_equal(again.images(rows), want)
  assert _only(tmp_path).name == cache.folder_name(TINY)
  caplog.clear()
  phantom.PhantomImages(TINY, tmp_path, workers=1)
  assert not caplog.text


def test_interrupted_cache_leaves_nothing(tmp_path):
  def fill(images, masks):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    cache.open_or_make(TINY, tmp_path, ((2, 4, 4), (2, 2, 2)), fill)
  assert not list(tmp_path.iterdir())


def test_cache_that_cannot_be_written_is_a_resource_error(tmp_path):
  blocked = tmp_path / 'file'
  blocked.write_text('x')
  with pytest.raises(errors.ResourceError, match='cache'):
    phantom.PhantomImages(TINY, blocked / 'cache', workers=1)
