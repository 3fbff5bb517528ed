"""The page: whole, safe and self-contained."""

import json
import shutil
import subprocess

import made_up_run
import pytest
import report_page

from mammojax.report import html

FIGURES = (
  'loss',
  'active_fraction',
  'validation',
  'margins',
  'years_map',
  'years_cmc1',
  'distances',
  'examples',
)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A workdir whose report is written."""
  folder = made_up_run.build(tmp_path_factory.mktemp('runs') / 'ada $x$ & ü')
  assert html.write(folder) == folder / 'report.html'
  return folder


@pytest.fixture(scope='module')
def page(run):
  return report_page.Page(run / 'report.html')


@pytest.fixture
def bare(tmp_path):
  """A workdir with metrics.json alone, and no years in it."""
  (tmp_path / 'metrics.json').write_text(
    json.dumps(report_page.without_years())
  )
  return tmp_path


def test_page_is_for_its_owner_only(run):
  assert (run / 'report.html').stat().st_mode & 0o777 == 0o600


def test_write_saves_every_figure_twice_and_nothing_else(run):
  want = {f'{name}.{kind}' for name in FIGURES for kind in ('svg', 'png')}
  assert {path.name for path in (run / 'figures').iterdir()} == want


def test_write_twice_gives_the_same_bytes(run):
  paths = [run / 'report.html', *sorted((run / 'figures').iterdir())]
  first = [path.read_bytes() for path in paths]
  html.write(run)
  assert [path.read_bytes() for path in paths] == first


def test_page_says_the_verdict_and_holds_every_part(page):
  assert 'Test mAP 84.3 % (95 % interval 81.5–87.1' in page.text
  for words in (
    '6 years',
    'Equal-error rate',
    'truth at rank 1',
    'data.columns.subject',
    'versions.jax',
    'git checkout 0123456789abcdef',
    'python main.py --config=configs/adatriplet.py',
    '1,204 of 1,207',
    '6 min 31 s',
  ):
    assert words in page.text
  # Seven figures and, for four queries, six images each.
  assert page.tags.count('svg') == 7
  assert page.tags.count('img') == 24
  assert 'cannot be read' not in page.text


def test_page_explains_every_number_it_shows(page):
  for word in (
    'mAP@R',
    'CMC@1, CMC@5',
    '95\xa0% interval',
    'Chance',
    'Masked',
    'Equal error',
    'β',
    'ε, margin',
    'Active',
  ):
    assert word in page.texts


def test_page_asks_nobody_and_runs_nothing(page):
  assert not {'script', 'link', 'iframe', 'object', 'form'} & set(page.tags)
  policy = page.values('content')[0]
  assert policy.startswith("default-src 'none'")
  assert 'script' not in policy and 'http' not in policy
  assert all(
    src.startswith('data:image/png;base64,') for src in page.values('src')
  )
  links = page.values('href') + page.values('xlink:href')
  assert links and all(link.startswith('#') for link in links)
  assert not [a for a in page.attributes if a[1].startswith('on')]


def test_page_ids_are_unique_and_every_link_finds_its_own(page):
  ids = page.values('id')
  assert len(ids) == len(set(ids))
  links = page.values('href') + page.values('xlink:href')
  assert {link[1:] for link in links} <= set(ids)


def test_hostile_names_are_text(page, run):
  source = (run / 'report.html').read_text('utf-8')
  assert made_up_run.EVIL not in source
  for name in (made_up_run.EVIL, made_up_run.FORMULA):
    # As the name of an image and as a setting.
    assert page.text.count(name) >= 2
  assert 'Query ' + made_up_run.EVIL in page.values('alt')


def test_hostile_names_elsewhere_are_text(tmp_path):
  evil = made_up_run.EVIL
  metrics = report_page.without_years() | {
    'loss': evil,
    'warnings': [evil],
    'seed': evil,
  }
  metrics['test'][evil] = metrics['test']['all']
  metrics['baselines'][evil] = metrics['test']
  folder = tmp_path / 'a <img src=x>'
  page = report_page.page_of(folder, metrics)
  source = (folder / 'report.html').read_text('utf-8')
  assert '<img' not in source.lower()
  # Loss, seed, warning, row and column; title and headline of the page.
  assert page.text.lower().count(evil) == 5
  assert page.text.count('a <img src=x>') == 2


def test_warnings_stand_in_a_box_and_a_leak_in_the_title(tmp_path):
  said = ['LEAK: w1 is in two splits', 'The embedding collapses.']
  page = report_page.page_of(
    tmp_path / 'run', report_page.without_years() | {'warnings': said}
  )
  assert '2 warnings ' + ' '.join(said) in page.text
  assert 'LEAK: run – mammojax report' in page.texts
  assert 'LEAK Test mAP' in page.text


def test_leak_is_stamped_on_figures(bare):
  record = {'step': 1, 'split': 'train', 'loss': 0.5}
  (bare / 'metrics.jsonl').write_text(json.dumps(record))
  sizes = []
  for warnings in ([], ['LEAK: w1']):
    report_page.page_of(
      bare, report_page.without_years() | {'warnings': warnings}
    )
    svg = (bare / 'figures' / 'loss.svg').read_text()
    sizes.append(svg.count('<!-- LEAK -->'))
  assert sizes == [0, 1]


def test_run_without_warnings_has_no_box(page):
  assert 'warnings' not in page.values('class')


def test_masked_control_above_chance_is_a_warning(tmp_path):
  metrics = report_page.without_years()
  metrics['baselines']['masked'] = made_up_run.scores(0.2, 0, 0.02)
  text = report_page.page_of(tmp_path, metrics).text
  assert 'With the breast masked out mAP is 20.0 % (18.0–22.0)' in text


CHROMIUM = next(
  filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'chrome'))),
  None,
)


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium to draw the page')
def test_chromium_draws_the_page_and_runs_no_name_in_it(run, tmp_path):
  command = [
    CHROMIUM,
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    f'--user-data-dir={tmp_path / "profile"}',
    '--dump-dom',
    (run / 'report.html').as_uri(),
  ]
  done = subprocess.run(
    command, capture_output=True, text=True, check=True, timeout=60
  )
  assert 'Test mAP 84.3' in done.stdout
  assert '<img onerror' not in done.stdout
  assert 'violates' not in done.stderr
