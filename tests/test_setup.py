"""What setup.cfg declares, against what the code imports and the tree holds."""

import ast
import configparser
from importlib import metadata
import pathlib
import re
import subprocess
import sys

from packaging import requirements
import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
# What each distribution is imported as, where that is not its own name.
_IMPORTED_AS = {
  'absl-py': {'absl'},
  'opencv-python-headless': {'cv2'},
  'orbax-checkpoint': {'orbax'},
  'pillow': {'pil'},
  'pytest': {'pytest', '_pytest'},
  'scikit-learn': {'sklearn'},
}


def _setup():
  parser = configparser.ConfigParser()
  parser.read(_ROOT / 'setup.cfg')
  return parser


def _requirements(section, option):
  lines = _setup()[section][option].strip().splitlines()
  return [requirements.Requirement(line) for line in lines]


def _dependencies(*extras):
  found = _requirements('options', 'install_requires')
  for extra in extras:
    found += _requirements('options.extras_require', extra)
  return found


def _all_requirements():
  return _dependencies(*_setup()['options.extras_require'])


def _import_names(declared):
  return set().union(
    *(
      _IMPORTED_AS.get(each.name, {each.name.replace('-', '_').lower()})
      for each in declared
    )
  )


def _imports(path):
  """(line, top-level module) of every absolute import of a file."""
  for node in ast.walk(ast.parse(path.read_text(), str(path))):
    if isinstance(node, ast.Import):
      yield from ((node.lineno, each.name) for each in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
      yield node.lineno, node.module


def _undeclared(paths, declared):
  known = _import_names(declared) | sys.stdlib_module_names
  known |= {'mammojax', 'configs', 'launch', 'benchmarks', 'tests', 'main'}
  known |= {path.stem for path in (_ROOT / 'tests').glob('*.py')}
  found = []
  for path in paths:
    for line, name in _imports(path):
      if name.partition('.')[0].lower() not in known:
        found.append(f'{path.relative_to(_ROOT)}:{line} {name}')
  return found


def _tracked():
  listed = subprocess.run(
    ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z'],
    cwd=_ROOT,
    capture_output=True,
    text=True,
  )
  if listed.returncode:
    pytest.skip('not a git checkout')
  paths = [_ROOT / name for name in listed.stdout.split('\0') if name]
  return [path for path in paths if path.is_file()]


def _lines_with(pattern, paths):
  found = []
  for path in paths:
    try:
      text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
      continue
    for number, line in enumerate(text.splitlines(), 1):
      if pattern.search(line):
        found.append(f'{path.relative_to(_ROOT)}:{number} {line.strip()}')
  return found


def test_every_import_of_the_package_is_a_dependency():
  optional = ('wandb', 'dicom', 'hub')
  paths = [
    *(_ROOT / 'mammojax').rglob('*.py'),
    *(_ROOT / 'configs').rglob('*.py'),
    *(_ROOT / 'launch').glob('*.py'),
    *_ROOT.glob('*.py'),
  ]
  assert _undeclared(paths, _dependencies(*optional)) == []


def test_every_import_of_the_tests_is_a_dependency_or_an_extra():
  paths = (_ROOT / 'tests').glob('*.py')
  assert _undeclared(paths, _dependencies('test', 'parity')) == []


@pytest.mark.parametrize('each', _all_requirements(), ids=str)
def test_a_requirement_has_a_lower_bound_and_no_other(each):
  assert [bound.operator for bound in each.specifier] == ['>=']


@pytest.mark.parametrize('each', _dependencies(), ids=lambda each: each.name)
def test_the_installed_version_is_within_the_bounds(each):
  installed = metadata.version(each.name)
  assert each.specifier.contains(installed, prereleases=True), installed


def test_the_command_line_is_where_the_entry_point_says():
  text = _setup()['options.entry_points']['console_scripts'].strip()
  assert text == 'mammojax = mammojax.__main__:main'
  tree = ast.parse((_ROOT / 'mammojax/__main__.py').read_text())
  assert 'main' in {getattr(node, 'name', None) for node in tree.body}


def test_templates_of_the_report_are_package_data():
  patterns = _setup()['options.package_data']['mammojax.report'].split()
  folder = _ROOT / 'mammojax/report'
  held = {path for pattern in patterns for path in folder.glob(pattern)}
  assert {path for path in (folder / 'templates').rglob('*.*')} <= held


def test_the_makefile_and_setup_name_the_same_pythons():
  allowed = requirements.SpecifierSet(_setup()['options']['python_requires'])
  named = re.search(
    r'\((\d), (\d+)\) <= sys\.version_info < \((\d), (\d+)\)',
    (_ROOT / 'Makefile').read_text(),
  ).groups()
  assert allowed == requirements.SpecifierSet('>={}.{},<{}.{}'.format(*named))


def test_ci_runs_the_tests_of_the_readme():
  text = (_ROOT / '.ci/run').read_text()
  assert 'make test' in text and 'make check' in text
  subprocess.run(['bash', '-n', _ROOT / '.ci/run'], check=True)


def test_no_file_names_a_path_of_one_machine():
  # Written in two halves, so as not to find itself.
  pattern = re.compile('(?<![.\\w])/' + '(tmp|work|root|farm)/')
  paths = [path for path in _tracked() if path.parent.name != '.ci']
  assert _lines_with(pattern, paths) == []


def test_no_code_is_left_undone_and_no_error_swallowed():
  words = ('TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X')
  pattern = re.compile(rf'\b({"|".join(words)})\b|except( Exception)?:$')
  paths = [path for path in _tracked() if path.suffix == '.py']
  assert _lines_with(pattern, paths) == []


def test_no_data_set_of_somebody_else_is_in_the_tree():
  large = [path for path in _tracked() if path.stat().st_size > 2**20]
  assert large == []
