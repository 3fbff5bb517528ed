"""A polite stop: SIGTERM and SIGINT become a flag that the loop polls.

    with signals.StopSignal() as stop:
      for step in range(steps):
        ...
        if stop.requested:
          save()
          raise errors.Stopped(...)

A handler that raised could hit the program between two halves of a save.
"""

import os
import signal
import threading

_NOTE = b'\nStopping after this step; press Ctrl-C again to stop at once.\n'


class StopSignal:
  """Context manager that turns SIGTERM and SIGINT into `requested`.

  The second SIGINT raises KeyboardInterrupt at once, so that a person is
  never locked in; further SIGTERMs change nothing. Outside the main thread,
  where Python allows no handlers, it does nothing.

  Attributes:
    requested: bool, whether a signal came.
    name: of the first one, 'SIGTERM' or 'SIGINT'; '' before it came.
  """

  def __init__(self):
    self.requested = False
    self.name = ''
    self._interrupted = False
    self._old = {}

  def _handle(self, number, frame) -> None:
    interrupt = number == signal.SIGINT
    if interrupt and self._interrupted:
      raise KeyboardInterrupt
    self.requested = True
    self.name = self.name or signal.Signals(number).name
    if interrupt:
      self._interrupted = True
      # Not print: a handler may run inside another write to the stream.
      os.write(2, _NOTE)

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._old[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *exception):
    for number, handler in self._old.items():
      # None stands for a handler that was not set from Python; it cannot be
      # put back, so the system's own takes its place.
      signal.signal(number, signal.SIG_DFL if handler is None else handler)
    self._old = {}
