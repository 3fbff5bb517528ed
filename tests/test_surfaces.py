"""Loss surfaces: what is drawn is what the losses compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors, losses, relations
from mammojax.report import style, surfaces


def _rows(spot):
  """Anchor, positive and negative with the cosines (φ_ap, φ_an)."""
  rest = jnp.sqrt(1.0 - spot * spot)
  one, none = jnp.ones(()), jnp.zeros(())
  return jnp.stack(
    [
      jnp.stack([one, none, none]),
      jnp.stack([spot[0], rest[0], none]),
      jnp.stack([spot[1], none, rest[1]]),
    ]
  )


def _relation(label, item):
  return relations.Relation(
    jnp.array(label, jnp.int32), item=jnp.array(item, jnp.int32)
  )


def _losses(spot, margin, beta, weight):
  """(triplet loss, AdaTriplet) of the one triplet that the first row has."""
  rows = _rows(spot)
  given = dict(margin=margin, gallery=(rows[1:], _relation([0, 1], [1, 2])))
  anchor = rows[:1], _relation([0], [0])
  return (
    losses.batch_all_triplet(*anchor, **given),
    losses.adatriplet(*anchor, beta=beta, negative_weight=weight, **given),
  )


@pytest.mark.parametrize(
  'numbers', [(0.25, 0.1, 1.0), (0.7, 0.4, 2.5)], ids=['figure 1', 'other']
)
def test_surface_and_arrows_are_those_of_the_losses(rng, numbers):
  spots = rng.uniform(-0.95, 0.95, (60, 2)).astype(np.float32)
  margin, beta, weight = numbers
  # Nothing near a bend, where rounding would choose the side.
  bends = np.abs([spots[:, 1] - spots[:, 0] + margin, spots[:, 1] - beta]).min(
    axis=0
  )
  spots = spots[bends > 0.01]
  value = jax.jit(jax.vmap(lambda spot: _losses(spot, *numbers)))(spots)
  slope = jax.jit(jax.vmap(jax.jacrev(lambda s: _losses(s, *numbers))))(spots)
  for found, grad, scale in zip(value, slope, (0.0, weight), strict=True):
    assert 0 < np.mean(np.asarray(found) == 0) < 1
    want, by_ap, by_an = surfaces.surface(
      *spots.T.astype(np.float64),
      margin=margin,
      beta=beta,
      negative_weight=scale,
    )
    np.testing.assert_allclose(want, found, atol=1e-6)
    np.testing.assert_allclose(np.stack([by_ap, by_an], 1), grad, atol=1e-5)


def test_surface_by_hand():
  sims = dict(margin=0.25, beta=0.1, negative_weight=2.0)
  value, by_ap, by_an = surfaces.surface(
    np.array([0.5, 0.9, 0.5, -1.0]), np.array([0.4, 0.4, 0.0, -1.0]), **sims
  )
  np.testing.assert_allclose(value, [0.15 + 0.6, 0.6, 0.0, 0.25])
  np.testing.assert_array_equal(by_ap, [-1, 0, 0, -1])
  np.testing.assert_array_equal(by_an, [3, 2, 0, 1])


def _panels(**numbers):
  return surfaces.loss_surface(**numbers).axes[:2]


def test_figure_shows_both_surfaces_in_one_scale():
  triplet, adatriplet = _panels()
  shown = [axes.images[0].get_array() for axes in (triplet, adatriplet)]
  # Close to the upper left corner, half a pixel away from (-1, 1).
  assert shown[0].max() == pytest.approx(2.25, abs=0.01)
  assert shown[1].max() == pytest.approx(2.25 + 0.9, abs=0.01)
  scales = {axes.images[0].get_clim() for axes in (triplet, adatriplet)}
  assert len(scales) == 1
  assert scales.pop()[1] == pytest.approx(3.15)
  assert [axes.get_title() for axes in (triplet, adatriplet)] == [
    'Triplet loss',
    'AdaTriplet',
  ]


def test_arrows_go_down_the_surface():
  for axes, weight in zip(_panels(), (0.0, 1.0), strict=True):
    arrows = next(a for a in axes.collections if hasattr(a, 'U'))
    for (x, y), u, v in zip(arrows.XY, arrows.U, arrows.V, strict=True):
      numbers = dict(margin=0.25, beta=0.1, negative_weight=weight)
      here, there = (
        surfaces.surface(x + step * u, y + step * v, **numbers)[0]
        for step in (0.0, 1e-6)
      )
      assert there - here == pytest.approx(-1e-6 * (u**2 + v**2), rel=1e-3)


def test_lines_of_the_figure():
  triplet, adatriplet = _panels(margin=0.5, beta=0.3)
  lines = [line for line in adatriplet.lines if line.get_linestyle() != 'None']
  assert [tuple(line.get_ydata()) for line in lines] == [
    (-1.0, 1.0),
    (-1.5, 0.5),
    (0.3, 0.3),
  ]
  assert all('beta' not in line.get_label() for line in triplet.lines)


def test_extreme_numbers_can_be_drawn():
  for numbers in (
    dict(margin=0.0, beta=1.0, negative_weight=0.0),
    dict(margin=1.99, beta=0.0, negative_weight=50.0),
  ):
    style.png_bytes(surfaces.loss_surface(**numbers))


@pytest.mark.parametrize(
  'numbers',
  [
    {'margin': -0.1},
    {'margin': 2.0},
    {'margin': float('nan')},
    {'beta': 1.1},
    {'beta': -0.1},
    {'negative_weight': -1.0},
    {'negative_weight': float('inf')},
  ],
  ids=str,
)
def test_numbers_out_of_range_are_refused(numbers):
  with pytest.raises(errors.UsageError, match=next(iter(numbers))):
    surfaces.loss_surface(**numbers)
