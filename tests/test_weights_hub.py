"""Files of the Hub, fetched from a server of this test."""

import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from mammojax import errors
from mammojax.models.weights import hub

DATA = b'eight bytes and more'


class Handler(http.server.BaseHTTPRequestHandler):
  """A Hub with one file."""

  def do_HEAD(self):
    self.answer(with_data=False)

  def do_GET(self):
    self.answer(with_data=True)

  def answer(self, with_data):
    path = '/owner/repo/resolve/'
    is_there = self.path in (
      f'{path}main/model.safetensors',
      f'{path}v1/a/b.h5',
    )
    self.send_response(200 if is_there else 404)
    if is_there:
      self.send_header('X-Repo-Commit', 'c' * 40)
      self.send_header('ETag', hashlib.sha256(DATA).hexdigest())
      self.send_header('Content-Length', str(len(DATA)))
    else:
      self.send_header('X-Error-Code', 'EntryNotFound')
      self.send_header('Content-Length', '0')
    self.end_headers()
    if is_there and with_data:
      self.wfile.write(DATA)

  def log_message(self, *arguments):
    del arguments


@pytest.fixture
def server():
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()


def fetch(location, tmp_path, **environment):
  """The answer of another process, whose Hub is not the public one."""
  code = (
    'import sys\n'
    'from mammojax import errors\n'
    'from mammojax.models.weights import hub\n'
    'try:\n'
    '  print(hub.fetch(sys.argv[1]))\n'
    'except errors.MammojaxError as error:\n'
    '  print(type(error).__name__, error)\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, location],
    env={**os.environ, 'HF_HOME': str(tmp_path), **environment},
    capture_output=True,
    text=True,
    check=True,
  )
  return done.stdout.strip()


@pytest.mark.parametrize(
  'location', ['hf://owner/repo', 'hf://owner/repo@v1/a/b.h5']
)
def test_a_file_is_fetched_and_kept(server, tmp_path, location):
  pytest.importorskip('huggingface_hub')
  path = fetch(location, tmp_path, HF_ENDPOINT=server)
  assert pathlib.Path(path).read_bytes() == DATA
  if '@' not in location:
    again = fetch(location, tmp_path, HF_ENDPOINT=server, HF_HUB_OFFLINE='1')
    assert again == path


def test_what_cannot_be_fetched_is_said(server, tmp_path):
  pytest.importorskip('huggingface_hub')
  text = fetch('hf://owner/repo/none.h5', tmp_path, HF_ENDPOINT=server)
  assert text.startswith('UsageError') and "no file 'none.h5'" in text
  text = fetch('hf://owner/repo', tmp_path, HF_HUB_OFFLINE='1')
  assert text.startswith('ResourceError') and 'by other means' in text


def test_without_the_library_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(errors.UsageError, match=r"install 'mammojax\[hub\]'"):
    hub.fetch('hf://owner/repo')


def test_locations_are_split():
  assert hub.split('hf://a/b') == ('a/b', None, 'model.safetensors')
  assert hub.split('hf://a/b.c@v1/d/e.h5') == ('a/b.c', 'v1', 'd/e.h5')


@pytest.mark.parametrize(
  'location', ['hf://', 'hf://a', 'hf://a/', 'hf://a/b/../c', 'hf:/a/b']
)
def test_wrong_locations_are_refused(location):
  with pytest.raises(errors.UsageError, match='write hf://owner/repo'):
    hub.split(location)
