"""How the tests of every loss choose their cases and compare results."""

import every_loss
import numpy as np
import pytest


def cases(fast=None, where=lambda case: True):
  """Parametrises by name; slow but for `fast`, or but for plain names."""
  return pytest.mark.parametrize(
    'name',
    [
      name
      if (' ' not in name if fast is None else name in fast)
      else pytest.param(name, marks=pytest.mark.slow)
      for name, case in every_loss.CASES.items()
      if where(case)
    ],
  )


def assert_close(got, want, tolerance=1e-5):
  """To a share of the largest entry; gradients have no other scale."""
  got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
  scale = max(float(np.abs(want).max()), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def assert_same(got, want, tolerance=1e-5):
  """Values and gradients of two evaluations."""
  for one, other in zip(got, want, strict=True):
    assert_close(one, other, tolerance)


def changed(rows, **fields):
  return {**{name: value.copy() for name, value in rows.items()}, **fields}
