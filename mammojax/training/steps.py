"""One update of the parameters, as a pure function of plain arguments."""

from collections.abc import Callable, Sequence
from typing import Any

from clu import metrics as clu_metrics
import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mammojax import automargin, curriculum, gradcache, relations
from mammojax.models import dropout, freezing
from mammojax.training import objectives
from mammojax.training import state as state_lib

# What a step's key is folded with for dropout; no row has this position.
_DROPOUT = np.uint32(2**32 - 1)


@flax.struct.dataclass
class TrainMetrics(clu_metrics.Collection):
  """Means over the steps since the last log."""

  loss: clu_metrics.Average.from_output('loss')
  active_fraction: clu_metrics.Average.from_output('active_fraction')
  mean_gap: clu_metrics.Average.from_output('mean_gap')
  margin: clu_metrics.LastValue.from_output('margin')
  beta: clu_metrics.LastValue.from_output('beta')
  grad_norm: clu_metrics.Average.from_output('grad_norm')
  mean_cosine: clu_metrics.Average.from_output('mean_cosine')
  refused: clu_metrics.Average.from_output('refused')


def train_step(
  state: state_lib.TrainState,
  metrics: TrainMetrics,
  batch: dict[str, jax.Array],
  *,
  loss_fn: Callable[..., tuple[jax.Array, Any]],
  augment_fn: Callable[..., jax.Array],
  seed: int,
  same_item: str = 'ignored',
  tuple_size: int = 0,
  micro_batch: int = 0,
  freeze: Sequence[str] = (),
  penalty_fn: Callable[[Any], jax.Array] | None = None,
  axis_name: str | None = None,
) -> tuple[state_lib.TrainState, TrainMetrics, dict[str, jax.Array]]:
  """One update; all that comes back is equal on all devices.

  An update with a loss or gradient that is not finite is refused: all but the
  step counter and `num_refused` stays bit for bit as it was.

  Args:
    state: TrainState.
    metrics: TrainMetrics to add to.
    batch: 'image' float32[b, h, w, c] in [0, 1]; 'label', 'item', 'position'
      int32[b]; b is this device's share of the batch.
    loss_fn: `objectives.Objective.score`.
    augment_fn: (images, key, position int32[b]) -> images.
    seed: of the augmentation and of dropout.
    same_item: rule of the relation for two copies of one image.
    tuple_size: rows of the tuples outside which no pair counts, see
      `relations.drawn`; 0: all pairs count.
    micro_batch: images embedded at a time on this device, see `gradcache`; 0:
      all of them.
    freeze: patterns of parameters that get no gradient, see
      `models.freezing`.
    penalty_fn: params -> float32[], what is added to the loss, or None.
    axis_name: device axis to mine across; None on one device.

  Returns:
    (new state, metrics, pulse): the pulse is 'loss', 'grad_norm' and
    'num_refused' of this step, to be read while the next one runs.
  """
  key = jax.random.fold_in(jax.random.key(seed), state.step)
  images = augment_fn(batch['image'], key, batch['position'])
  relation = relations.Relation(
    batch['label'], item=batch['item'], same_item=same_item
  )
  if tuple_size:
    relation = relations.drawn(relation, batch['position'], tuple_size)

  # Keys of rows, so that neither devices nor micro-batches change a mask.
  dropout_key = jax.random.fold_in(key, _DROPOUT)

  def embed(params, batch_stats, rows, key):
    del key
    images, position = rows
    variables = {
      'params': freezing.hold(params, freeze),
      'batch_stats': batch_stats,
      **dropout.rows(position),
    }
    embeddings, updates = state.apply_fn(
      variables,
      images,
      train=True,
      mutable=['batch_stats'],
      rngs={'dropout': dropout_key},
    )
    return embeddings, updates.get('batch_stats', batch_stats)

  def score(params, embeddings):
    given = objectives.Given(
      relation,
      state.automargin,
      params.get(state_lib.LOSS, {}),
      state.curriculum,
      state.memory,
      jax.random.fold_in(key, 1),
      axis_name,
    )
    return loss_fn(embeddings, given)

  graded = _direct(embed, score)
  if micro_batch:
    graded = gradcache.value_and_grad(
      embed, score, micro_batch=micro_batch, loss_has_params=True
    )
  rows = images, batch['position']
  (loss, aux), grads = graded(state.params, state.batch_stats, rows, key)
  seen, embeddings, batch_stats = aux
  if axis_name is not None:
    grads = jax.lax.pmean(grads, axis_name)
  if penalty_fn is not None:
    penalty, more = jax.value_and_grad(penalty_fn)(state.params)
    loss, grads = loss + penalty, jax.tree.map(jnp.add, grads, more)
  grad_norm = optax.tree.norm(grads)
  is_finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
  new_state = _advance(state, grads, batch_stats, loss, seen, is_finite)
  measured = {
    'loss': loss,
    'active_fraction': seen.active_fraction,
    'mean_gap': seen.mean_gap,
    'margin': state.automargin.margin,
    'beta': state.automargin.beta,
    'grad_norm': grad_norm,
    'mean_cosine': mean_cosine(embeddings, axis_name),
    'refused': (~is_finite).astype(jnp.float32),
  }
  pulse = {
    'loss': loss,
    'grad_norm': grad_norm,
    'num_refused': new_state.num_refused,
  }
  metrics = metrics.merge(TrainMetrics.single_from_model_output(**measured))
  return new_state, metrics, pulse


def _direct(embed, score):
  """`gradcache.value_and_grad` with the whole batch embedded at once."""

  def objective(params, batch_stats, rows, key):
    embeddings, batch_stats = embed(params, batch_stats, rows, key)
    loss, seen = score(params, embeddings)
    return loss, (seen, embeddings, batch_stats)

  return jax.value_and_grad(objective, has_aux=True)


def _advance(state, grads, batch_stats, loss, seen, is_finite):
  """The next state, or the same one counted on."""
  updates, opt_state = state.tx.update(grads, state.opt_state, state.params)
  margins = state.automargin
  if seen.triplets is not None:
    margins = automargin.accumulate(margins, seen.triplets, seen.quantiles)
  course = state.curriculum
  if course is not None:
    course = curriculum.update(course, loss, state.automargin.margin)
  wanted = state.replace(
    params=optax.apply_updates(state.params, updates),
    opt_state=opt_state,
    batch_stats=batch_stats,
    automargin=automargin.update(margins),
    curriculum=course,
    memory=seen.held,
  )
  kept = jax.tree.map(
    lambda new, old: jnp.where(is_finite, new, old), wanted, state
  )
  return kept.replace(
    step=state.step + 1,
    num_refused=jnp.where(is_finite, 0, state.num_refused + 1),
  )


def mean_cosine(embeddings: jax.Array, axis_name: str | None) -> jax.Array:
  """Mean cosine of two different rows of the global batch; near 1: collapse.

      (|sum_i f_i|^2 - sum_i |f_i|^2) / (b (b - 1))

  Args:
    embeddings: float32[b, d] of length 1, this device's share.
    axis_name: device axis, or None.

  Returns:
    float32[]. For rows of other lengths it is the mean product.
  """
  embeddings = jax.lax.stop_gradient(embeddings)
  sums = (
    jnp.sum(embeddings, axis=0),
    jnp.sum(embeddings**2),
    jnp.float32(embeddings.shape[0]),
  )
  if axis_name is not None:
    sums = jax.lax.psum(sums, axis_name)
  total, square, count = sums
  return (jnp.sum(total**2) - square) / jnp.maximum(count * (count - 1), 1)
