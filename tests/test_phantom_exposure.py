"""How a phantom is taken: exposure, reach, background and regions."""

import numpy as np
import pytest
import small_phantom

from mammojax import errors
from mammojax.data import phantom
from mammojax.data.phantom import exposure, projection

SMALL = small_phantom.SMALL
TINY = small_phantom.TINY


@pytest.fixture
def small():
  return small_phantom.images()


def test_exposure_is_drawn_without_the_woman():
  """Shots of one identity are as far apart as shots of two."""
  shots = np.array(
    [
      [
        (lambda s: [*s.shift, s.angle, s.gain, s.gamma, s.veil, s.noise])(
          exposure.draw(
            TINY, exposure.generator(TINY, woman, side, view, months)
          )
        )
        for side in 'LR'
        for view in ('CC', 'MLO')
        for months in range(0, 120, 12)
      ]
      for woman in range(30)
    ]
  )
  spread = shots.reshape(-1, 7).std(axis=0)
  shots = shots / spread
  # One-way analysis: variance of the women's means is 1 / 40 by chance alone.
  between = shots.mean(axis=1).var(axis=0, ddof=1) * shots.shape[1]
  assert np.all((between > 0.4) & (between < 1.9))


def test_every_image_has_its_own_exposure():
  shifts = {
    tuple(
      exposure.draw(
        TINY, exposure.generator(TINY, woman, side, view, months)
      ).shift
    )
    for woman, side, view, months in small_phantom.keys(TINY)
  }
  assert len(shifts) == len(small_phantom.keys(TINY)) == 16


def test_breast_is_cut_off_at_its_reach(monkeypatch):
  """The reach holds by force, not by luck: here it is drawn far too near."""
  monkeypatch.setattr(exposure, 'REACH', 0.3)
  # A size of its own, as the reach of a size is computed once.
  spec = phantom.PhantomSpec(0, 0, 1, 48)
  away = exposure.outside_reach(48)
  for view in spec.views:
    shot = phantom.render(spec, 0, 'L', view, 0)
    assert shot.breast_mask.any()
    assert not np.any(shot.breast_mask & away)


def test_background_of_an_image_is_a_function_of_the_exposure_alone(small):
  """Another woman under the same exposure leaves the background as it is."""
  away = exposure.outside_reach(64)
  spec = SMALL
  films = []
  for woman in range(3):
    rng = exposure.generator(spec, 0, 'L', 'CC', 0)
    shot = exposure.draw(spec, rng)
    lasting = projection.maps(spec, woman, 'L', 'CC')
    points = exposure.sample_points(spec, shot, 1.0)
    breast = exposure.cut(lasting.breast, points) * ~away
    bright = exposure.cut(projection.tissue(spec, woman, 'L', 'CC', 0), points)
    films.append(exposure.develop(spec, shot, bright, breast, rng))
  assert np.any(films[0] != films[1])
  for film in films[1:]:
    np.testing.assert_array_equal(film[away], films[0][away])


def test_regions(small):
  rows = np.arange(len(small.frame))
  everything = small.images(rows)
  breast, _ = small.masks(rows)
  inner = small.images(rows, 'breast')[..., 0]
  np.testing.assert_array_equal(inner, everything[..., 0] * breast)
  outer = small.images(rows, 'background')[..., 0]
  away = exposure.outside_reach(64)
  np.testing.assert_array_equal(outer, everything[..., 0] * away)
  # One region for all images: no silhouette, and no breast in it.
  assert 0.1 < away.mean() < 0.4
  assert not np.any(breast & away)
  with pytest.raises(errors.DataError, match='region'):
    small.images(rows, 'nipple')
