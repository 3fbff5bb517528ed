"""Pseudonyms hang on their key, and the key stays where it belongs."""

import datetime
import stat

import pytest

from mammojax import errors
from mammojax.data import pseudonyms


def test_pseudonyms_need_their_key(tmp_path):
  path, workdir = tmp_path / 'key', tmp_path / 'run'
  pseudonyms.make_key(path)
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
  key = pseudonyms.load_key(path, workdir=workdir)
  named = pseudonyms.pseudonym('0047', key)
  assert named == pseudonyms.pseudonym(' 0047 ', key) and len(named) == 32
  others = {pseudonyms.pseudonym(who, key) for who in ('47', '0048', 'ä')}
  assert len(others | {named, pseudonyms.pseudonym('0047', b'x' * 32)}) == 5
  with pytest.raises(errors.UsageError, match='inside the workdir'):
    pseudonyms.load_key(path, workdir=tmp_path)
  with pytest.raises(errors.UsageError, match='never replaced'):
    pseudonyms.make_key(path)
  path.chmod(0o644)
  with pytest.raises(errors.UsageError, match='chmod 600'):
    pseudonyms.load_key(path, workdir=workdir)
  with pytest.raises(errors.UsageError, match='cannot be read'):
    pseudonyms.load_key(tmp_path / 'none', workdir=workdir)
  path.write_text('short')
  path.chmod(0o600)
  with pytest.raises(errors.UsageError, match='5 bytes') as caught:
    pseudonyms.load_key(path, workdir=workdir)
  assert 'short' not in str(caught.value)


def test_a_pseudonym_is_hmac_sha256():
  # RFC 4231, test case 2, without its second half.
  want = '5bdcc146bf60754e6a042426089575c7'
  text = 'what do ya want for nothing?'
  assert pseudonyms.pseudonym(text, b'Jefe') == want


def test_dates_become_days():
  date = datetime.date
  days = pseudonyms.days_since_first(
    ['a', 'b', 'a', 'a'],
    [date(2020, 3, 1), date(1999, 1, 1), date(2020, 2, 28), None],
  )
  assert days == [2, 0, 0, None]
