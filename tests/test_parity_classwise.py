"""The same numbers as other libraries, where definitions meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax.losses import classwise, norms, siamese

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_metric_learning')
metrics = pytest.importorskip('sklearn.metrics')

# ruff: noqa: E402
from pytorch_metric_learning import losses as peer_losses
from pytorch_metric_learning import reducers, regularizers

CLASSES, DIM = 6, 5


def _batch(rng, count=1):
  """Rows of five of the six classes, and class weights."""
  label = np.array([0] * 4 + [1, 1, 2, 4, 5, 5], np.int32)
  weights = 1.5 * rng.normal(size=(CLASSES * count, DIM))
  x = rng.normal(size=(len(label), DIM))
  return x.astype(np.float32), label, weights.astype(np.float32)


def _ours(loss_fn, x, label, weights, **kwargs):
  value, grads = jax.value_and_grad(
    lambda x, w: loss_fn(x, jnp.asarray(label), w, **kwargs), (0, 1)
  )(jnp.asarray(x), jnp.asarray(weights))
  return float(value), *[np.asarray(grad) for grad in grads]


def _theirs(loss_fn, parameter, x, label, weights, transposed=True):
  rows = weights.T if transposed else weights
  parameter.data = torch.tensor(np.ascontiguousarray(rows))
  x = torch.tensor(x, requires_grad=True)
  value = loss_fn(x, torch.tensor(label.astype(np.int64)))
  value.backward()
  grad = parameter.grad.numpy()
  return float(value.detach()), x.grad.numpy(), grad.T if transposed else grad


def _agree(got, want):
  assert want[0] > 0.01
  assert got[0] == pytest.approx(want[0], rel=2e-5)
  for one, other in zip(got[1:], want[1:], strict=True):
    scale = np.abs(other).max()
    assert scale > 1e-4
    np.testing.assert_allclose(one, other, rtol=0, atol=3e-5 * scale)


@pytest.mark.parametrize('scale, degrees', [(64, 28.6), (6, 70.0)])
def test_arcface(rng, scale, degrees):
  batch = _batch(rng)
  peer = peer_losses.ArcFaceLoss(CLASSES, DIM, margin=degrees, scale=scale)
  margin = float(np.radians(degrees))
  x, label, weights = batch
  unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
  own = np.sum(x * unit[label], axis=1) / np.linalg.norm(x, axis=1)
  # Rows on both sides of the bend.
  assert (own < -np.cos(margin)).any() or degrees < 45
  assert (own > -np.cos(margin)).any()
  got = _ours(classwise.arcface, *batch, scale=scale, margin=margin)
  _agree(got, _theirs(peer, peer.W, *batch))


def test_soft_triple_without_its_regulariser(rng):
  batch = _batch(rng, 3)
  peer = peer_losses.SoftTripleLoss(
    CLASSES, DIM, centers_per_class=3, la=12, gamma=0.2, margin=0.05
  )
  got = _ours(
    classwise.soft_triplet, *batch, centers_per_class=3, scale=12.0, gamma=0.2,
    margin=0.05, tau=0.0,
  )  # fmt: skip
  _agree(got, _theirs(peer, peer.fc, *batch))


@pytest.mark.parametrize('alpha, margin', [(32, 0.1), (5, 0.3)])
def test_proxy_anchor(rng, alpha, margin):
  batch = _batch(rng)
  peer = peer_losses.ProxyAnchorLoss(CLASSES, DIM, margin=margin, alpha=alpha)
  got = _ours(classwise.proxy_anchor, *batch, alpha=alpha, margin=margin)
  _agree(got, _theirs(peer, peer.proxies, *batch, transposed=False))


def test_siamese_is_the_log_loss(rng):
  logits = 2 * rng.normal(size=30).astype(np.float32)
  is_same = rng.random(30) < 0.5
  got = siamese.siamese_cross_entropy(jnp.asarray(logits), jnp.asarray(is_same))
  share = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
  assert got == pytest.approx(metrics.log_loss(is_same, share), rel=1e-5)


def test_squared_norm_is_the_regulariser_of_power_two(rng):
  x, _, _ = _batch(rng)
  peer = regularizers.LpRegularizer(
    p=2, power=2, reducer=reducers.MeanReducer()
  )
  want = float(peer(torch.tensor(x)))
  assert norms.squared_norm(x) == pytest.approx(want, rel=1e-5)
