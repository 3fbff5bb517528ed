"""Where the time of a run goes, over all its sittings."""

import dataclasses


@dataclasses.dataclass
class Clock:
  """Time spent, over all sittings of a run.

  Attributes:
    seconds: in the loop, validation and saving included.
    wait_seconds: of which the device may have waited for input.
    train_seconds: of which training steps took.
    images: trained on in `train_seconds`.
  """

  seconds: float = 0.0
  wait_seconds: float = 0.0
  train_seconds: float = 0.0
  images: int = 0

  def results(self) -> dict[str, float]:
    """What metrics.json says of time."""
    spent = max(self.train_seconds, 1e-9)
    return {
      'seconds': self.seconds,
      'input_wait_fraction': self.wait_seconds / spent,
      'images_per_second': self.images / spent,
    }
