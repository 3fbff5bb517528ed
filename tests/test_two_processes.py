"""Two processes over loopback train, and score a batch, as one does."""

import json
import os
import pathlib
import subprocess
import sys

import every_loss
import every_loss_devices as shares
import jax
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]


def write_config(path, cache):
  """The tiny config as a file for `main.py`."""
  path.write_text(
    'import pathlib, sys\n'
    f'sys.path.insert(0, {str(ROOT)!r})\n'
    'from tests import tiny\n'
    'def get_config():\n'
    f'  return tiny.config(pathlib.Path({str(cache)!r}),\n'
    '    parallel__num_devices=0, train__steps=4, train__log_every=1,\n'
    "    train__eval_every=4, optim__name='sgd')\n"
  )


def scalars(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, cache):
  config = tmp_path / 'tiny_config.py'
  write_config(config, cache)
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  alone = [sys.executable, 'main.py', f'--config={config}']
  subprocess.run(
    [*alone, f'--workdir={tmp_path / "one"}'],
    cwd=ROOT,
    env=environment,
    check=True,
    timeout=300,
  )
  subprocess.run(
    [
      sys.executable,
      'launch/local_processes.py',
      '--processes=2',
      '--devices_per_process=2',
      '--',
      f'--config={config}',
      f'--workdir={tmp_path / "two"}',
    ],
    cwd=ROOT,
    env=environment,
    check=True,
    timeout=300,
  )
  one, two = scalars(tmp_path / 'one'), scalars(tmp_path / 'two')
  assert len(one) == len(two) == 5
  for a, b in zip(one, two, strict=True):
    assert a['step'] == b['step'] and a['split'] == b['split']
    for name in ('loss', 'margin', 'grad_norm', 'mean_cosine', 'map'):
      if name in a:
        assert b[name] == pytest.approx(a[name], rel=1e-3), (a['step'], name)
  assert (tmp_path / 'two' / 'report.html').exists()


@pytest.mark.slow
def test_losses_of_two_processes_equal_those_of_one(tmp_path):
  # Counts of triplets, a softmax over rows, and class weights.
  names = ('batch_all_triplet', 'supcon', 'arcface')
  path = tmp_path / 'found.json'
  subprocess.run(
    [
      sys.executable,
      'launch/local_processes.py',
      '--processes=2',
      '--devices_per_process=2',
      '--script=tests/losses_in_processes.py',
      '--',
      str(path),
      *names,
    ],
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    check=True,
    timeout=300,
  )
  result = json.loads(path.read_text())
  assert (result['processes'], result['devices']) == (2, 4)
  assert set(result['losses']) == set(names)
  for name, (value, grads) in result['losses'].items():
    case, rows = every_loss.CASES[name], shares.global_batch()
    want, want_grads = jax.jit(shares.step_of(case, None))(
      shares.parameters_of(case), rows['x'], every_loss.relation_of(rows, case)
    )
    assert want > 0
    np.testing.assert_allclose(value, want, rtol=3e-6, err_msg=name)
    assert set(grads) == set(want_grads)
    for key, grad in grads.items():
      scale = np.abs(want_grads[key]).max()
      assert scale > 1e-3
      np.testing.assert_allclose(
        grad, want_grads[key], rtol=0, atol=1e-5 * scale, err_msg=(name, key)
      )
