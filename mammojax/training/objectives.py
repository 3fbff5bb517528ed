"""Every loss of `mammojax.losses` by name, as the training step calls it.

    objective = objectives.build(config)
    params = objective.init(key, num_classes)          # {} for most
    loss, seen = objective.score(embeddings, given)

What a loss trains besides the network (class weights, the layers of a Siamese
head) are parameters in the TrainState under 'loss'; what it remembers (margins,
a curriculum, past embeddings) are pytrees beside them.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from mammojax import (
  automargin,
  curriculum,
  errors,
  losses,
  memory,
  relations,
)
from mammojax.training import factory, loss_names, margins


class Given(NamedTuple):
  """What a loss gets besides embeddings.

  Attributes:
    relation: of this device's rows; its labels are dense ids of the training
      split.
    margins: AutoMargin's.
    params: what the loss trains itself; {} where it trains nothing.
    curriculum: CurriculumState, or None.
    memory: MemoryState, or None.
    key: of this step, equal on all devices.
    axis_name: device axis to mine across, or None.
  """

  relation: relations.Relation
  margins: automargin.AutoMarginState
  params: Mapping[str, Any]
  curriculum: curriculum.CurriculumState | None
  memory: memory.MemoryState | None
  key: jax.Array
  axis_name: str | None


class Seen(NamedTuple):
  """What the step reports of a loss; float32[] each unless said.

  Attributes:
    active_fraction: share of triplets or pairs that still add to the loss; of
      a classifier the share of rows that are wrong.
    mean_gap: negative distance minus positive distance, on average; 0 where a
      loss has no such thing.
    triplets: losses.TripletStats for AutoMargin, or None.
    quantiles: what `automargin.measure` returned, or None.
    held: MemoryState with this batch, or None.
  """

  active_fraction: jax.Array
  mean_gap: jax.Array
  triplets: losses.TripletStats | None = None
  quantiles: Any = None
  held: memory.MemoryState | None = None


class Objective(NamedTuple):
  """A loss with its options filled in.

  Attributes:
    score: (embeddings float32[b, d], Given) -> (float32[] loss of the global
      batch, Seen).
    init: (key, number of classes) -> parameters of the loss.
  """

  score: Callable[[jax.Array, Given], tuple[jax.Array, Seen]]
  init: Callable[[jax.Array, int], dict[str, Any]]


def build(config: ml_collections.ConfigDict) -> Objective:
  """The objective of `config.loss`, tried once so that bad names fail at start.

  Raises:
    UsageError: an unknown loss, or an argument the loss refuses.
  """
  chosen = _named(config, config.loss.name)
  if config.loss.penalty not in loss_names.PENALTIES:
    raise errors.unknown(
      'loss.penalty', config.loss.penalty, loss_names.PENALTIES
    )
  if config.memory.size and not chosen.has_gallery:
    raise errors.UsageError(
      f'loss.name={config.loss.name} compares rows with classes or with their '
      'partner, so a memory adds nothing: set memory.size=0.'
    )
  if config.memory.size and config.sampler.relate == 'drawn':
    raise errors.UsageError(
      "sampler.relate='drawn' compares the rows of one tuple, none of which is "
      "in a memory: set memory.size=0 or sampler.relate='all'."
    )
  score = _score(config, config.loss.name, chosen)
  if config.curriculum.switch != 'off':
    score = _switching(config, score)
  objective = Objective(_with_penalty(config, score), _init(config, chosen))
  _try(config, objective)
  return objective


def _named(config, name):
  """The loss of a name, with AutoMargin and distance checked against it."""
  if name not in loss_names.LOSSES:
    raise errors.unknown('loss', name, loss_names.LOSSES)
  if not loss_names.LOSSES[name].follows and config.automargin.mode != 'fixed':
    raise errors.UsageError(
      f'AutoMargin follows triplets; with loss.name={name} set '
      "automargin.mode='fixed'."
    )
  if name == 'siamese' and config.sampler.name != 'pairs':
    raise errors.UsageError(
      'loss.name=siamese judges drawn pairs, rows 2i and 2i + 1; set '
      "sampler.name='pairs'."
    )
  if name == 'adatriplet' and config.loss.distance != 'cosine':
    raise errors.UsageError(
      'AdaTriplet is defined on cosine similarities; set '
      "loss.distance='cosine'."
    )
  return loss_names.LOSSES[name]


def _options(config, name, chosen):
  """Keyword arguments that do not change from step to step."""
  fields = {field: config.loss[field] for field in chosen.takes}
  if 'selection' in fields and not fields['selection']:
    fields['selection'] = None if name == 'adatriplet' else 'semihard_region'
  own = config.loss.options.get(name)
  return {**fields, **(own.to_dict() if own is not None else {})}


def _score(config, name, chosen):
  options = _options(config, name, chosen)
  distance = options.get('distance', 'cosine')

  def score(embeddings, given):
    changing: dict[str, Any] = {}
    if chosen.follows or name in loss_names.WITH_MARGIN:
      changing['margin'] = given.margins.margin
    if name == 'adatriplet':
      changing['beta'] = given.margins.beta
    if name == 'distance_weighted':
      changing['key'] = given.key
    where = [given.params] if chosen.init is not None else []

    def call(**more):
      return chosen.call(
        embeddings,
        given.relation,
        *where,
        **options,
        **changing,
        **more,
        axis_name=given.axis_name,
        stats=True,
      )

    loss, stats = call()
    seen = _seen(stats, chosen.follows)
    if given.memory is not None:
      held = memory.enqueue(
        given.memory, embeddings, given.relation, given.axis_name
      )
      loss += call(gallery=memory.gallery(held))[0]
      seen = seen._replace(held=held)
    if chosen.follows:
      found = automargin.measure(
        given.margins,
        embeddings,
        given.relation,
        distance=distance,
        axis_name=given.axis_name,
      )
      seen = seen._replace(quantiles=found)
    return loss, seen

  return score


def _seen(stats, follows) -> Seen:
  """What the step reports, from the statistics of any loss."""
  if isinstance(stats, losses.PairStats):
    counted = stats.num_positive_pairs + stats.num_negative_pairs
    active = stats.num_active
  elif isinstance(stats, losses.ClassStats | losses.SiameseStats):
    counted = stats.num_selected
    active = counted - stats.num_correct
  elif isinstance(stats, losses.TripletStats):
    counted, active = stats.num_triplets, stats.num_active
  else:
    counted, active = stats.num_selected, stats.num_active
  gap = getattr(stats, 'mean_gap', jnp.zeros_like(counted))
  return Seen(
    active / jnp.maximum(counted, 1.0), gap, stats if follows else None
  )


def _switching(config, easy):
  """A score that goes over to `config.curriculum.then` and stays there."""
  name = config.curriculum.then
  chosen = _named(config, name)
  if not (chosen.follows and loss_names.LOSSES[config.loss.name].follows):
    known = [key for key, loss in loss_names.LOSSES.items() if loss.follows]
    raise errors.UsageError(
      'A curriculum goes from one triplet loss to another; loss.name and '
      f'curriculum.then must be among {", ".join(known)}, got '
      f'{config.loss.name} and {name}.'
    )
  hard = _score(config, name, chosen)

  def score(embeddings, given):
    return curriculum.select(
      given.curriculum,
      lambda x: easy(x, given),
      lambda x: hard(x, given),
      embeddings,
    )

  return score


def _with_penalty(config, score):
  """The score and a penalty on the lengths of the embeddings."""
  penalty_fn = loss_names.PENALTIES[config.loss.penalty]
  if penalty_fn is None:
    return score

  def penalized(embeddings, given):
    loss, seen = score(embeddings, given)
    penalty = penalty_fn(embeddings, given.relation, axis_name=given.axis_name)
    return loss + config.loss.penalty_weight * penalty, seen

  return penalized


def _init(config, chosen):
  options = config.loss.options.get(config.loss.name)
  options = options.to_dict() if options is not None else {}

  def init(key, num_classes):
    if chosen.init is None:
      return {}
    return chosen.init(key, num_classes, config.model.embedding_dim, options)

  return init


def _try(config, objective):
  """Traces the objective on four rows: names and numbers fail here."""
  course, held = factory.course_and_memory(config)

  def attempt(embeddings, label, key):
    given = Given(
      relations.Relation(label, item=label),
      margins.state(config, steps_per_epoch=1),
      objective.init(key, 4),
      course,
      held,
      key,
      None,
    )
    return objective.score(embeddings, given)

  jax.eval_shape(
    attempt,
    jax.ShapeDtypeStruct((4, config.model.embedding_dim), jnp.float32),
    jax.ShapeDtypeStruct((4,), jnp.int32),
    jax.random.key(0),
  )
