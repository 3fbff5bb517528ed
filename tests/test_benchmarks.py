"""What the benchmarks compare with."""

import pytest

from benchmarks import networks, torch_resnet


@pytest.mark.parametrize(
  'name, billions', [('resnet18', 1.82), ('resnet50', 4.09)]
)
def test_operations_are_those_published(name, billions):
  """Multiplications at 224 px, as torchvision states them; two operations."""
  pytest.importorskip('torch')
  assert name in networks.NETWORKS
  got = torch_resnet.operations(name, (2, 224, 224, 3))
  assert got / 4e9 == pytest.approx(billions, rel=0.01)
