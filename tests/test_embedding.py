"""Another table's images under the network of a finished run."""

import copies
import numpy as np
import pytest
import tiny

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.apps import embedding
from mammojax.data import table
from mammojax.training import inputs, train


@pytest.mark.slow
def test_a_run_embeds_a_table_and_pairs_it(tmp_path, cache, monkeypatch):
  # Of a loss with parameters, which embedding has no use for.
  config = tiny.config(
    cache,
    loss__name='arcface',
    automargin__mode='fixed',
    model__grey='replicate',
    data__input='torchvision',
  )
  workdir = tmp_path / 'run'
  train.run(config, workdir)
  # What the run was trained on need not be there any more.
  monkeypatch.delattr(inputs, 'image_set')
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
