"""The loop by itself: its clock, and when it logs."""

import types

import ml_collections
import pytest

from mammojax.training import loop


def test_loop_reads_the_clock_of_all_sittings():
  clock = loop.clocks.Clock(
    seconds=10.0, wait_seconds=1.0, train_seconds=5.0, images=100
  )
  assert clock.results() == {
    'seconds': 10.0,
    'input_wait_fraction': 0.2,
    'images_per_second': 20.0,
  }


@pytest.mark.parametrize(
  'every, logged', [(0, [5]), (2, [2, 4, 5])], ids=['never', 'every 2']
)
def test_loop_logs_when_it_is_due_and_at_the_end(monkeypatch, every, logged):
  config = ml_collections.ConfigDict(
    {'train': dict(steps=5, log_every=every, eval_every=0, checkpoint_every=0)}
  )
  one = loop.Loop(
    config=config,
    judge=types.SimpleNamespace(can_validate=False),
    **dict.fromkeys(
      ('source', 'devices', 'step_fn', 'rate_fn', 'embed_fn', 'saved'), None
    ),
    workdir=None,
    item_names=None,
  )
  one._stop = types.SimpleNamespace(requested=False)
  found = []
  monkeypatch.setattr(one, '_log', found.append)
  for name in ('_save', '_check_pulse'):
    monkeypatch.setattr(one, name, lambda *_: None)
  for done in range(1, 6):
    one._after(None, done)
  assert found == logged
