"""What a person sees while a network trains.

    with progress.Progress(total_steps=2000, start_step=0) as bar:
      bar.update(50, loss=0.31, active_fraction=0.45, margin=0.25, beta=0.1,
                 images_per_second=210.0, eta=192.0)

On a terminal a bar; elsewhere (a log file, a batch job) one plain line now
and then. Both end in
`loss 0.310 · active 45 % · ε 0.25 · β 0.10 · 210 img/s · 3:12 left`.
"""

import math
import sys
import time

import rich.console
import rich.progress


def duration(seconds: float | None) -> str:
  """'3:12', '1:02:05', or '?' for what is not known."""
  if seconds is None or not math.isfinite(seconds):
    return '?'
  minutes, second = divmod(max(0, round(seconds)), 60)
  hours, minute = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minute:02d}:{second:02d}'
  return f'{minute}:{second:02d}'


def line(
  *,
  loss: float | None = None,
  active_fraction: float | None = None,
  margin: float | None = None,
  beta: float | None = None,
  images_per_second: float | None = None,
  eta: float | None = None,
) -> str:
  """One line of the numbers that are given.

  Args:
    loss: of the batch.
    active_fraction: share of triplets with a loss, in [0, 1].
    margin: ε of AutoMargin.
    beta: β of AutoMargin.
    images_per_second: over all devices.
    eta: seconds left.
  """
  parts = []
  if loss is not None:
    parts.append(f'loss {loss:.3f}')
  if active_fraction is not None:
    parts.append(f'active {100 * active_fraction:.0f} %')
  if margin is not None:
    parts.append(f'ε {margin:.2f}')
  if beta is not None:
    parts.append(f'β {beta:.2f}')
  if images_per_second is not None:
    parts.append(f'{images_per_second:.0f} img/s')
  if eta is not None:
    parts.append(f'{duration(eta)} left')
  return ' · '.join(parts)


class Progress:
  """A bar on a terminal, plain lines elsewhere; a context manager.

  Args:
    total_steps: steps of the whole training.
    start_step: steps that are done already.
    enabled: False shows nothing, as in processes above 0.
    stream: where to write; standard error by default.
    every_seconds: least time between two plain lines.
    clock: () -> seconds, for tests.
  """

  def __init__(
    self,
    total_steps: int,
    start_step: int = 0,
    enabled: bool = True,
    *,
    stream=None,
    every_seconds: float = 30.0,
    clock=time.monotonic,
  ):
    self._total = total_steps
    self._enabled = enabled
    self._stream = sys.stderr if stream is None else stream
    self._every = every_seconds
    self._clock = clock
    self._shown_at: float | None = None
    self._bar: rich.progress.Progress | None = None
    console = rich.console.Console(file=self._stream)
    if enabled and console.is_terminal:
      self._bar = rich.progress.Progress(
        rich.progress.TextColumn('{task.completed}/{task.total}'),
        rich.progress.BarColumn(bar_width=20),
        rich.progress.TextColumn('{task.description}', markup=False),
        console=console,
      )
      self._task = self._bar.add_task(
        'compiling', total=total_steps, completed=start_step
      )
      self._bar.start()

  def update(
    self,
    step: int,
    loss: float | None = None,
    active_fraction: float | None = None,
    margin: float | None = None,
    beta: float | None = None,
    images_per_second: float | None = None,
    eta: float | None = None,
  ) -> None:
    """Shows the numbers of a step; those that are None are left out.

    Args:
      step: steps that are done.
      loss: as in `line`, and so the others.
      active_fraction: share in [0, 1].
      margin: ε.
      beta: β.
      images_per_second: over all devices.
      eta: seconds left.
    """
    if not self._enabled:
      return
    text = line(
      loss=loss,
      active_fraction=active_fraction,
      margin=margin,
      beta=beta,
      images_per_second=images_per_second,
      eta=eta,
    )
    if self._bar is not None:
      self._bar.update(self._task, completed=step, description=text)
      return
    now = self._clock()
    waited = self._shown_at is None or now - self._shown_at >= self._every
    if waited or step >= self._total:
      self._shown_at = now
      self.note(f'step {step}/{self._total} · {text}')

  def note(self, text: str) -> None:
    """Writes a line above the bar, without breaking it."""
    if not self._enabled:
      return
    if self._bar is not None:
      self._bar.console.print(text, markup=False, highlight=False)
    else:
      print(text, file=self._stream, flush=True)

  def close(self) -> None:
    """Leaves the bar as it stands."""
    if self._bar is not None:
      self._bar.stop()

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()
