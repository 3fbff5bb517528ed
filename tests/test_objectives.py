"""Losses by name: what a config builds, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from mammojax import errors, relations
from mammojax.training import (
  factory,
  loss_names,
  margins,
  objectives,
  trained_losses,
)

NUM_CLASSES, DIM = 4, 6
LABELS = np.array([0, 0, 1, 1, 2, 3, 2, 0], np.int32)


def config_of(name, **changes):
  """Base config with a loss, and dotted changes with `__`."""
  config = base.get_config()
  config.loss.name = name
  config.model.embedding_dim = 1 if name == 'logistic' else DIM
  if not loss_names.LOSSES[name].follows:
    config.automargin.mode = 'fixed'
  config.sampler.name = 'pairs' if name == 'siamese' else 'subjects'
  for field, value in changes.items():
    *path, last = field.split('__')
    node = config
    for part in path:
      node = node[part]
    node[last] = value
  return config


def given_of(config, objective, labels=LABELS, **changes):
  """What the training step would give the loss at step 0."""
  course, held = factory.course_and_memory(config)
  key = jax.random.key(0)
  found = objectives.Given(
    relations.Relation(
      jnp.asarray(labels), item=jnp.arange(len(labels), dtype=jnp.int32)
    ),
    margins.state(config, steps_per_epoch=1),
    objective.init(key, NUM_CLASSES),
    course,
    held,
    key,
    None,
  )
  return found._replace(**changes)


def embeddings(rng, rows=8):
  x = rng.normal(size=(rows, DIM))
  return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def score(config, x, **changes):
  objective = objectives.build(config)
  return objective.score(jnp.asarray(x), given_of(config, objective, **changes))


@pytest.mark.parametrize('name', loss_names.LOSSES)
def test_every_loss_scores_and_has_a_finite_gradient(rng, name):
  config = config_of(name)
  objective = objectives.build(config)
  given = given_of(config, objective)

  def value(x, params):
    return objective.score(x, given._replace(params=params))

  (loss, seen), grads = jax.jit(
    jax.value_and_grad(value, (0, 1), has_aux=True)
  )(jnp.asarray(embeddings(rng)[:, : config.model.embedding_dim]), given.params)
  assert np.isfinite(loss) and float(loss) > 0
  assert 0.0 <= float(seen.active_fraction) <= 1.0
  assert (seen.triplets is not None) == loss_names.LOSSES[name].follows
  leaves = jax.tree.leaves(grads)
  assert all(np.isfinite(leaf).all() for leaf in leaves)
  assert all(np.abs(leaf).max() > 0 for leaf in leaves)


def test_the_margin_of_a_triplet_loss_is_that_of_automargin(rng):
  x = embeddings(rng)
  config = config_of('triplet', automargin__mode='fixed', loss__margin=0.4)
  config.loss.selection = 'all'
  loss, _ = score(config, x)
  dist = 1.0 - x.astype(np.float64) @ x.astype(np.float64).T
  excess = [
    max(0.0, dist[a, p] - dist[a, n] + 0.4)
    for a in range(8)
    for p in range(8)
    for n in range(8)
    if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
  ]
  np.testing.assert_allclose(loss, np.mean(excess), rtol=1e-5)


def test_cross_entropy_is_that_of_a_dense_layer(rng):
  x = embeddings(rng).astype(np.float64)
  kernel, bias = rng.normal(size=(DIM, NUM_CLASSES)), rng.normal(size=4)
  params = {'dense': {'kernel': kernel, 'bias': bias}}
  logits = x @ kernel + bias
  values, correct, gaps = [], 0, []
  for row, label in zip(logits, LABELS, strict=True):
    values.append(np.log(np.sum(np.exp(row))) - row[label])
    gaps.append(row[label] - np.delete(row, label).max())
    correct += row.argmax() == label
  loss, stats = trained_losses.cross_entropy(
    jnp.asarray(x, jnp.float32),
    jnp.asarray(LABELS),
    jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params),
    stats=True,
  )
  np.testing.assert_allclose(loss, np.mean(values), rtol=1e-5)
  np.testing.assert_allclose(stats.mean_gap, np.mean(gaps), rtol=1e-4)
  assert float(stats.num_correct) == correct


def test_rows_that_are_not_valid_do_not_count_in_cross_entropy(rng):
  x = jnp.asarray(embeddings(rng))
  params = trained_losses.classifier(jax.random.key(1), NUM_CLASSES, DIM, {})
  valid = np.arange(8) < 5
  relation = relations.Relation(jnp.asarray(LABELS), valid=jnp.asarray(valid))
  got = trained_losses.cross_entropy(x, relation, params)
  want = trained_losses.cross_entropy(x[:5], jnp.asarray(LABELS[:5]), params)
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_siamese_judges_neighbouring_rows(rng):
  x = embeddings(rng)
  key = jax.random.key(2)
  params = trained_losses.siamese_head(key, 0, DIM, {'hidden': (5,)})
  loss, stats = trained_losses.siamese(
    jnp.asarray(x), jnp.asarray(LABELS), params, hidden=(5,), stats=True
  )
  first, last = params['dense1'], params['dense']
  values, correct = [], 0
  for i in range(0, 8, 2):
    joined = np.concatenate([x[i], x[i + 1]]).astype(np.float64)
    hidden = np.maximum(joined @ first['kernel'] + first['bias'], 0.0)
    logit = float((hidden @ last['kernel'] + last['bias'])[0])
    same = LABELS[i] == LABELS[i + 1]
    values.append(np.log1p(np.exp(-logit if same else logit)))
    correct += (logit > 0) == same
  np.testing.assert_allclose(loss, np.mean(values), rtol=1e-5)
  assert float(stats.num_same) == 2 and float(stats.num_correct) == correct


def test_an_odd_number_of_rows_makes_no_pairs(rng):
  params = trained_losses.siamese_head(
    jax.random.key(2), 0, DIM, {'hidden': ()}
  )
  with pytest.raises(errors.UsageError, match='even number of rows'):
    trained_losses.siamese(
      jnp.asarray(embeddings(rng)[:7]), jnp.asarray(LABELS[:7]), params
    )


def test_a_curriculum_scores_the_first_loss_and_then_the_other(rng):
  x = embeddings(rng)
  config = config_of(
    'semihard', automargin__mode='fixed', curriculum__switch='step'
  )
  config.curriculum.then = 'batch_hard'
  course, _ = factory.course_and_memory(config)
  hard = course.__class__(**{**vars(course), 'hard': jnp.asarray(True)})
  alone = {
    name: score(config_of(name, automargin__mode='fixed'), x)[0]
    for name in ('semihard', 'batch_hard')
  }
  assert float(alone['semihard']) != float(alone['batch_hard'])
  easy, _ = score(config, x)
  np.testing.assert_allclose(easy, alone['semihard'], rtol=1e-6)
  got, _ = score(config, x, curriculum=hard)
  np.testing.assert_allclose(got, alone['batch_hard'], rtol=1e-6)


def test_a_memory_adds_the_loss_against_past_rows(rng):
  config = config_of('contrastive', memory__size=16)
  config.memory.warmup_steps = 0
  x, past = embeddings(rng), embeddings(rng)
  _, seen = score(config, past)
  objective = objectives.build(config)
  given = given_of(config, objective)
  items = jnp.arange(8, 16, dtype=jnp.int32)
  relation = relations.Relation(jnp.asarray(LABELS), item=items)
  loss, _ = objective.score(
    jnp.asarray(x), given._replace(relation=relation, memory=seen.held)
  )

  def mean_hinge(gallery, labels, same):
    values = []
    for i in range(8):
      for j in range(len(gallery)):
        if same(i, j):
          continue
        dist = 1.0 - float(x[i].astype(np.float64) @ gallery[j])
        if LABELS[i] == labels[j]:
          values.append((True, max(0.0, dist)))
        else:
          values.append((False, max(0.0, 0.25 - dist)))
    return np.mean([value for _, value in values])

  held = np.concatenate([past, x]).astype(np.float64)
  of_both = np.concatenate([LABELS, LABELS])
  want = mean_hinge(x.astype(np.float64), LABELS, lambda i, j: i == j)
  want += mean_hinge(held, of_both, lambda i, j: i + 8 == j)
  np.testing.assert_allclose(loss, want, rtol=1e-5)


def test_a_penalty_adds_the_length_of_embeddings(rng):
  x = 3.0 * embeddings(rng)
  plain, _ = score(config_of('supcon'), x)
  config = config_of('supcon', loss__penalty='squared_norm')
  config.loss.penalty_weight = 0.5
  got, _ = score(config, x)
  np.testing.assert_allclose(got - plain, 0.5 * 9.0, rtol=1e-4)


@pytest.mark.parametrize(
  ('name', 'changes', 'says'),
  [
    ('arcface', {'loss__name': 'arcfase'}, "Did you mean 'arcface'"),
    ('arcface', {'automargin__mode': 'ema'}, "automargin.mode='fixed'"),
    ('arcface', {'memory__size': 8}, 'memory.size=0'),
    ('triplet', {'memory__size': 8, 'sampler__relate': 'drawn'}, 'one tuple'),
    ('supcon', {'loss__penalty': 'squared'}, "Did you mean 'squared_norm'"),
    ('triplet', {'loss__selection': 'semi'}, 'semihard_region'),
    ('adatriplet', {'loss__distance': 'euclidean'}, 'cosine'),
    ('contrastive', {'curriculum__switch': 'step'}, 'one triplet loss'),
    ('hard', {'curriculum__switch': 'stal'}, "Did you mean 'stall'"),
    ('semihard', {'loss__options__semihard__variant': 'open'}, 'bounded'),
    ('siamese', {'sampler__name': 'subjects'}, "sampler.name='pairs'"),
    ('wat', {'loss__options__wat__k': -1.0}, 'k'),
  ],
)
def test_what_does_not_fit_is_refused_before_training(name, changes, says):
  with pytest.raises(ValueError, match=says):
    objectives.build(config_of(name, **changes))


@pytest.mark.parametrize(
  'name, changes, wanted',
  [
    ('adatriplet', {}, ('margin', 'beta')),
    ('semihard', {}, ('margin',)),
    ('contrastive', {}, ()),
    ('arcface', {}, ()),
    (
      'semihard',
      {'curriculum__switch': 'step', 'curriculum__then': 'adatriplet'},
      ('margin', 'beta'),
    ),
  ],
)
def test_margins_are_told_of_the_losses_that_follow_them(name, changes, wanted):
  assert margins.taken(config_of(name, **changes)) == wanted
