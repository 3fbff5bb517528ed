"""A head on embeddings and one on what else is known, as one logit.

    head = fusion.fit(image_head, embeddings, numbers, positive, splits)
    logits = probes.logits(head, np.concatenate([embeddings, numbers], axis=1))

Late fusion: the network has seen the training images, and tells them apart far
better than new ones. A head that is fitted on their embeddings and on other
numbers at once therefore believes the embedding too much. So each has a head of
its own, and the validation images, which neither head was fitted on, say how
much each of the two logits counts.
"""

import numpy as np
from sklearn import linear_model

from mammojax.apps import probes
from mammojax.metrics import choosing


def fit(
  image: probes.Head,
  embeddings: np.ndarray,
  numbers: np.ndarray,
  positive: np.ndarray,
  splits: np.ndarray,
  *,
  class_weight: str = 'none',
  choose_on: str = 'validation',
) -> probes.Head:
  """Fits a head on `numbers`, and how much it counts beside that on embeddings.

  The head on numbers is logistic regression, as `probes.fit` has it. The logit
  is a * image + b * known + c: of least log loss on the split that chooses, and
  a ridge of one half the squares of a and b for logits of spread 1 there, which
  keeps them finite where few images are told apart without error.

  Args:
    image: a head on the embeddings.
    embeddings: float32[n, d].
    numbers: float32[n, k], see `clinical.encode`.
    positive: bool[n].
    splits: str[n], of `choosing.SPLITS`.
    class_weight: see `probes.fit`, of both fits here.
    choose_on: the split that says how much each counts.

  Returns:
    Head of kind 'fused', of float32[n, d + k]. Its options are those of `image`
    and 'image' (its kind), 'image_dim', 'weights' (a, b, c) and 'known', the
    options of the head on numbers.

  Raises:
    as `probes.fit`.

  Source: stacking, Wolpert, 1992, https://doi.org/10.1016/S0893-6080(05)80023-1,
    with one held-out split in place of folds.
  """
  choosing.refuse_test(choose_on, 'how much a head counts')
  known = probes.fit(
    'linear',
    numbers,
    positive,
    splits,
    class_weight=class_weight,
    choose_on=choose_on,
  )
  here = np.asarray(splits) == choose_on
  two = np.stack(
    [
      probes.logits(image, embeddings[here]),
      probes.logits(known, numbers[here]),
    ],
    axis=1,
  )
  options = image.options | {
    'dim': embeddings.shape[1] + numbers.shape[1],
    'image': image.kind,
    'image_dim': embeddings.shape[1],
    'weights': _weights(two, np.asarray(positive, bool)[here], class_weight),
    'known': known.options,
  }
  arrays = {f'image/{name}': array for name, array in image.arrays.items()}
  arrays |= {f'known/{name}': array for name, array in known.arrays.items()}
  return probes.Head('fused', options, arrays, image.curves)


def _weights(two: np.ndarray, positive: np.ndarray, class_weight: str):
  """a, b and c, of float64[n, 2] logits."""
  spread = two.std(axis=0)
  spread = np.where(spread > 0.0, spread, 1.0)
  model = linear_model.LogisticRegression(
    C=1.0,
    class_weight=None if class_weight == 'none' else class_weight,
    tol=1e-8,
    max_iter=5000,
  ).fit(two / spread, positive)
  return [*(model.coef_[0] / spread).tolist(), float(model.intercept_[0])]
