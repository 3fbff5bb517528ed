"""Another table's images under the network of a finished run."""

import json

import copies
import numpy as np
import pytest
import tiny

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.apps import embedding
from mammojax.data import table
from mammojax.training import networks, train


def test_grey_copies_are_scaled_as_published_colours(
  tmp_path, cache, monkeypatch
):
  config = tiny.config(
    cache, model__grey='replicate', data__input='torchvision'
  )
  (tmp_path / 'config.json').write_text(json.dumps(config.to_dict()))
  given = {}

  def model(config, **options):
    given.update(options)
    raise StopIteration

  monkeypatch.setattr(networks, 'model', model)
  with pytest.raises(StopIteration):
    embedding.embed_table(tmp_path, None, None, np.arange(1))
  assert given['mean'] == (0.485, 0.456, 0.406)
  assert given['std'] == (0.229, 0.224, 0.225)


@pytest.mark.slow
def test_a_run_embeds_a_table_and_pairs_it(tmp_path, cache, capsys):
  # Of a loss with parameters, which embedding has no use for.
  config = tiny.config(cache, loss__name='arcface', automargin__mode='fixed')
  workdir = tmp_path / 'run'
  train.run(config, workdir)
  rng = np.random.default_rng(0)
  folder = tmp_path / 'images'
  picture = copies.texture(rng, 64)
  for name, image in (
    ('a', picture),
    ('b', picture),
    ('c', copies.texture(rng, 64)),
  ):
    copies.write(folder / f'{name}.png', image)
  path = folder / 'table.csv'
  path.write_text('path,subject,laterality\na.png,1,L\nb.png,2,L\nc.png,3,R\n')
  frame, store = table.read(path)
  found = embedding.embed_table(workdir, frame, store, np.array([0, 1, 2]))
  assert found.shape == (3, 8)
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)
  np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
  some = embedding.embed_table(workdir, frame, store, np.array([2]))
  np.testing.assert_allclose(some[2], found[2], rtol=1e-5)
  assert not some[:2].any()
  out = tmp_path / 'out'
  arguments = [f'--table={path}', f'--out={out}', f'--workdir={workdir}']
  cli.main(['leaks', *arguments, '--fail=never', '--least_cosine=0.000001'])
  assert 'exact' in (out / 'pairs.csv').read_text()
  assert 'Network of' in (out / 'leaks.html').read_text()
  (workdir / 'config.json').write_text('{"data": {}}')
  with pytest.raises(
    errors.DataError, match=r"no field '\w+': .* another version"
  ):
    embedding.embed_table(workdir, frame, store, np.array([0]))
