"""Runs main.py as several processes on this machine, over loopback.

  python launch/local_processes.py --processes=2 -- \
      --config=configs/adatriplet.py --workdir=runs/two

Everything after `--` goes to each process as it stands. The processes find
each other by MAMMOJAX_COORDINATOR, MAMMOJAX_NUM_PROCESSES and
MAMMOJAX_PROCESS_ID. Each line they print is prefixed with the number of its
process. The first one that fails ends the others, and its exit code is the
exit code here; SIGINT, SIGTERM and SIGHUP are passed on to all of them.

With --platform=cpu (the default) each process has --devices_per_process CPU
devices: the way to try a run of several machines on one. With --platform=gpu
each has as many GPUs, none of them shared.
"""

import argparse
from collections.abc import Mapping, Sequence
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO

_MAIN = pathlib.Path(__file__).resolve().parents[1] / 'main.py'
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.05
_READ_SECONDS = 5.0


def free_port() -> int:
  """A TCP port of the loopback address that nothing listens on."""
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def environment(
  index: int, processes: int, devices: int, platform: str, port: int
) -> dict[str, str]:
  """The variables that process `index` of `processes` gets."""
  variables = {
    'MAMMOJAX_COORDINATOR': f'127.0.0.1:{port}',
    'MAMMOJAX_NUM_PROCESSES': str(processes),
    'MAMMOJAX_PROCESS_ID': str(index),
    # Lines reach the reader when they are printed, not when a buffer is full.
    'PYTHONUNBUFFERED': '1',
  }
  if platform == 'cpu':
    variables['JAX_PLATFORMS'] = 'cpu'
    variables['JAX_NUM_CPU_DEVICES'] = str(devices)
  else:
    own = range(index * devices, (index + 1) * devices)
    variables['CUDA_VISIBLE_DEVICES'] = ','.join(map(str, own))
  return variables


class Group:
  """Processes that end together.

  Attributes:
    children: those started so far.
    signalled: whether a signal has been passed on to them.
  """

  def __init__(self):
    self.children: list[subprocess.Popen[str]] = []
    self.signalled = False

  def start(
    self, command: Sequence[str], variables: Mapping[str, str]
  ) -> subprocess.Popen[str]:
    """Starts `command` with `variables` beside this process's own."""
    # A session of its own: Ctrl-C in a terminal would reach it twice.
    child = subprocess.Popen(
      command,
      env={**os.environ, **variables},
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      errors='replace',
      start_new_session=True,
    )
    self.children.append(child)
    if self.signalled:
      child.terminate()
    return child

  def send(self, number: int) -> None:
    """Sends a signal to each process that is still there."""
    self.signalled = True
    for child in self.children:
      if child.poll() is None:
        child.send_signal(number)

  def kill(self) -> None:
    """Ends each process that is still there, and what it started."""
    for child in self.children:
      if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
          os.killpg(child.pid, signal.SIGKILL)

  def wait(self, grace_seconds: float) -> int:
    """Waits for all; after a failure, ends the rest within the grace.

    Returns:
      0, or the returncode of the first that failed.
    """
    first, deadline = 0, float('inf')
    while True:
      codes = [child.poll() for child in self.children]
      if not first and any(codes):
        first = next(code for code in codes if code)
        deadline = time.monotonic() + grace_seconds
        # A process that is saving may take a second signal for impatience.
        if not self.signalled:
          self.send(signal.SIGTERM)
      if None not in codes:
        return first
      if time.monotonic() > deadline:
        self.kill()
      time.sleep(_POLL_SECONDS)


def run(
  command: Sequence[str],
  environments: Sequence[Mapping[str, str]],
  grace_seconds: float,
) -> int:
  """Runs `command` once under each environment, to the end of all.

  Args:
    command: program and arguments.
    environments: what each process gets beside this process's variables.
    grace_seconds: how long the others have after one failed, from SIGTERM
      to SIGKILL: a process waiting for one that is gone cannot save.

  Returns:
    0, or the exit code of the first process that failed; 128 plus the signal
    for one that a signal ended.
  """
  group = Group()
  readers = []
  with _forwarding(group):
    for index, variables in enumerate(environments):
      child = group.start(command, variables)
      readers.append(_prefix(index, child.stdout))
    code = group.wait(grace_seconds)
    for reader in readers:
      # Something that the process left behind may hold its output open.
      reader.join(timeout=_READ_SECONDS)
  return 128 - code if code < 0 else code


@contextlib.contextmanager
def _forwarding(group: Group):
  """Passes signals on to `group`; leaves no process of it behind."""

  def forward(number, unused_frame):
    group.send(number)

  before = {number: signal.signal(number, forward) for number in _FORWARDED}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
    group.kill()


def _prefix(index: int, stream: IO[str]) -> threading.Thread:
  def copy():
    with stream:
      for line in stream:
        # One write a line, so that lines of two processes do not mix.
        sys.stdout.write(f'[{index}] {line.rstrip()}\n')
        sys.stdout.flush()

  thread = threading.Thread(target=copy, daemon=True)
  thread.start()
  return thread


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--processes', type=int, default=2)
  parser.add_argument('--devices_per_process', type=int, default=1)
  parser.add_argument('--platform', choices=('cpu', 'gpu'), default='cpu')
  parser.add_argument(
    '--grace_seconds',
    type=float,
    default=20.0,
    help='from SIGTERM to SIGKILL for the others, after one has failed',
  )
  parser.add_argument(
    '--script', default=str(_MAIN), help='what to run; main.py by default'
  )
  return parser


def main(argv: Sequence[str]) -> int:
  """Splits `argv` at the first `--` and runs the processes."""
  argv = list(argv)
  split = argv.index('--') if '--' in argv else len(argv)
  parser = _parser()
  args = parser.parse_args(argv[:split])
  if args.processes < 1 or args.devices_per_process < 1:
    parser.error('--processes and --devices_per_process must be at least 1')
  port = free_port()
  environments = [
    environment(
      i, args.processes, args.devices_per_process, args.platform, port
    )
    for i in range(args.processes)
  ]
  command = [sys.executable, args.script, *argv[split + 1 :]]
  return run(command, environments, args.grace_seconds)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
