"""Spread of embeddings against loops and known shapes."""

import math

import numpy as np
import pytest

from mammojax import errors
from mammojax.metrics import collapse


def test_mean_cosine_equals_a_loop_over_pairs(rng):
  x = (rng.normal(size=(13, 4)) + 0.5).astype(np.float32)
  total = 0.0
  for i in range(13):
    for j in range(13):
      if i != j:
        a, b = x[i].astype(float), x[j].astype(float)
        total += a @ b / math.sqrt((a @ a) * (b @ b))
  got = collapse.spread(x)['mean_cosine']
  assert got == pytest.approx(total / (13 * 12), abs=1e-12)


@pytest.mark.parametrize('axes', [1, 2, 5])
def test_effective_rank_counts_equal_axes(axes):
  # Plus and minus every axis: covariance is the identity over `axes`.
  x = np.concatenate([np.eye(axes, 8), -np.eye(axes, 8)]).astype(np.float32)
  got = collapse.spread(x)
  assert got['effective_rank'] == pytest.approx(axes)
  assert got['std'] == pytest.approx(1.0)


def test_effective_rank_of_unequal_axes_is_the_entropy():
  # Variances 3/4 and 1/4 of the whole.
  x = np.array([[1, 0], [-1, 0]] * 3 + [[0, 1], [0, -1]], np.float32)
  want = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
  assert collapse.spread(x)['effective_rank'] == pytest.approx(want)


@pytest.mark.parametrize('noise', [0.0, 1e-7])
def test_one_point_is_diagnosed(rng, noise):
  x = rng.normal(size=64) * (1 + noise * rng.normal(size=(40, 64)))
  found = collapse.spread(x.astype(np.float32))
  assert found['mean_cosine'] == pytest.approx(1.0, abs=1e-9)
  assert found['effective_rank'] == 0.0
  assert found['std'] < 1e-5
  message = collapse.diagnose(found, 1.0)
  for part in (
    'collapsed',
    'one point',
    '100%',
    'semi-hard',
    'learning rate',
    'batches',
    'normalisation',
  ):
    assert part in message


def test_a_line_is_diagnosed(rng):
  x = np.sign(rng.normal(size=(40, 1))) * np.ones((1, 6))
  message = collapse.diagnose(collapse.spread(x.astype(np.float32)))
  assert 'one line' in message and 'violate' not in message


def test_spread_out_embeddings_are_not_diagnosed(rng):
  found = collapse.spread(rng.normal(size=(400, 32)).astype(np.float32))
  assert abs(found['mean_cosine']) < 0.01
  assert found['effective_rank'] > 25
  assert found['std'] > 0.95
  assert collapse.diagnose(found, active_fraction=1.0) is None


def test_zero_rows_give_finite_numbers():
  found = collapse.spread(np.zeros((5, 3), np.float32))
  assert all(np.isfinite(list(found.values())))
  assert collapse.diagnose(found) is not None


def test_bad_embeddings_are_refused():
  with pytest.raises(errors.UsageError, match='n >= 2'):
    collapse.spread(np.zeros((1, 3), np.float32))
  x = np.zeros((4, 3), np.float32)
  x[2, 1] = np.nan
  with pytest.raises(errors.DataError, match='row 2'):
    collapse.spread(x)
