"""Signals become a flag; the old handlers come back."""

import os
import signal
import threading

import pytest

from mammojax.training import signals


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT'])
def test_a_signal_sets_requested_and_nothing_else(name):
  number = getattr(signal, name)
  before = signal.getsignal(number)
  with signals.StopSignal() as stop:
    assert not stop.requested
    os.kill(os.getpid(), number)
    assert stop.requested
    assert stop.name == name
  assert signal.getsignal(number) is before


def test_second_interrupt_raises_at_once():
  # A process in the background may have been started deaf to it.
  before = signal.getsignal(signal.SIGINT)
  with pytest.raises(KeyboardInterrupt), signals.StopSignal() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested
    os.kill(os.getpid(), signal.SIGINT)
  assert signal.getsignal(signal.SIGINT) is before


def test_interrupts_count_also_after_a_termination():
  with pytest.raises(KeyboardInterrupt), signals.StopSignal():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)


def test_repeated_terminations_change_nothing():
  with signals.StopSignal() as stop:
    for _ in range(3):
      os.kill(os.getpid(), signal.SIGTERM)
    assert stop.name == 'SIGTERM'


def test_outside_the_main_thread_it_does_nothing():
  before = signal.getsignal(signal.SIGTERM)
  seen = []

  def work():
    with signals.StopSignal() as stop:
      seen.append((stop.requested, signal.getsignal(signal.SIGTERM)))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert seen == [(False, before)]
