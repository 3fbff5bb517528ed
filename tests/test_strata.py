"""Subjects dealt out to parts: together, in proportion, alike everywhere."""

from fractions import Fraction
import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn import model_selection

from mammojax.data import strata


def _table(rng, num_subjects=400, max_images=6, rare=0.03):
  """Images of subjects, each subject of one class, one class rare."""
  subjects, classes = [], []
  for number in range(num_subjects):
    name = rng.choice(['a', 'b', 'c'], p=[0.7 - rare, 0.3, rare])
    count = int(rng.integers(1, max_images + 1))
    subjects += [f's{number}'] * count
    classes += [name] * count
  order = rng.permutation(len(subjects))
  return np.array(subjects)[order], np.array(classes)[order]


def _excess(classes, part, weights):
  """|images held - images due| by class and part, as exact fractions."""
  return {
    (name, number): abs(
      int(np.sum((classes == name) & (part == number)))
      - Fraction(weight * int(np.sum(classes == name)), sum(weights))
    )
    for name in set(classes)
    for number, weight in enumerate(weights)
  }


def _by_fractions(subjects, classes, weights, seed):
  """The rule of the docstring, whole sums in exact fractions."""
  counts = {}
  for subject, name in zip(subjects, classes, strict=True):
    counts.setdefault(subject, {}).setdefault(name, 0)
    counts[subject][name] += 1
  due = {
    (part, name): Fraction(weight * list(classes).count(name), sum(weights))
    for part, weight in enumerate(weights)
    for name in set(classes)
  }

  def total(held):
    return sum((held[key] - due[key]) ** 2 / due[key] for key in due)

  def order(subject):
    digest = hashlib.sha256(f'{seed}:{subject}'.encode()).hexdigest()
    return -sum(counts[subject].values()), digest

  held, chosen = dict.fromkeys(due, 0), {}
  for subject in sorted(counts, key=order):
    tries = []
    for part in range(len(weights)):
      tried = dict(held)
      for name, images in counts[subject].items():
        tried[part, name] += images
      tries.append((total(tried), part, tried))
    _, chosen[subject], held = min(tries, key=lambda one: one[:2])
  return [chosen[subject] for subject in subjects]


@pytest.mark.parametrize('weights', [(7, 1, 2), (1, 1, 1, 1), (8, 2)], ids=str)
def test_divide_follows_its_rule_in_exact_fractions(weights):
  rng = np.random.default_rng(3)
  subjects, classes = _table(rng, num_subjects=40)
  # Some subjects have images of two classes.
  classes = np.where(rng.random(len(classes)) < 0.1, 'b', classes)
  want = _by_fractions(subjects, classes, weights, 5)
  found = strata.divide(subjects, classes, weights, 5)
  assert found.tolist() == want
  assert found.dtype == np.int64


@pytest.mark.parametrize('weights', [(7, 1, 2), (64, 16, 20), (8, 2)], ids=str)
@pytest.mark.parametrize('seed', range(3))
def test_single_images_miss_their_share_by_less_than_one(weights, seed):
  rng = np.random.default_rng(seed)
  subjects, classes = _table(rng, num_subjects=1000, max_images=1)
  part = strata.divide(subjects, classes, weights, seed)
  assert max(_excess(classes, part, weights).values()) < 1


@pytest.mark.parametrize('weights', [(7, 1, 2), (1,) * 5], ids=str)
def test_subjects_stay_together_and_miss_by_less_than_the_largest(weights):
  subjects, classes = _table(np.random.default_rng(8))
  part = strata.divide(subjects, classes, weights, 0)
  assert pd.Series(part).groupby(subjects).nunique().max() == 1
  assert max(_excess(classes, part, weights).values()) < 6


def test_parts_are_no_less_even_than_scikit_learns():
  subjects, classes = _table(np.random.default_rng(11))
  ours = strata.divide(subjects, classes, (1,) * 5, 0)
  theirs = np.empty(len(subjects), int)
  splitter = model_selection.StratifiedGroupKFold(n_splits=5)
  for number, (_, test) in enumerate(
    splitter.split(subjects, classes, groups=subjects)
  ):
    theirs[test] = number

  def worst(part):
    return max(
      miss / np.sum(classes == name)
      for (name, _), miss in _excess(classes, part, (1,) * 5).items()
    )

  assert worst(ours) <= worst(theirs)


def test_a_part_of_weight_zero_stays_empty():
  subjects, classes = _table(np.random.default_rng(1))
  part = strata.divide(subjects, classes, (8, 0, 2), 0)
  assert set(part) == {0, 2}


def test_order_of_rows_does_not_matter_and_the_seed_does():
  rng = np.random.default_rng(2)
  subjects, classes = _table(rng)
  part = strata.divide(subjects, classes, (7, 1, 2), 0)
  order = rng.permutation(len(subjects))
  again = strata.divide(subjects[order], classes[order], (7, 1, 2), 0)
  np.testing.assert_array_equal(again, part[order])
  assert (strata.divide(subjects, classes, (7, 1, 2), 1) != part).any()


def test_another_hash_seed_of_python_changes_nothing():
  code = (
    'from mammojax.data import strata\n'
    "names = [f's{i % 37}' for i in range(120)]\n"
    "classes = ['ab'[i % 37 % 2] for i in range(120)]\n"
    'print(strata.divide(names, classes, (7, 1, 2), 0).tolist())'
  )
  found = {
    subprocess.run(
      [sys.executable, '-c', code],
      env=os.environ | {'PYTHONHASHSEED': seed},
      cwd=pathlib.Path(__file__).parents[1],
      capture_output=True,
      check=True,
      timeout=60,
    ).stdout
    for seed in '01'
  }
  assert len(found) == 1
