"""The ResNets of `mammojax.models.resnet` in PyTorch, to be timed beside."""

from collections.abc import Callable
import importlib.util

import numpy as np

_SIZES = {'resnet18': (2, 2, 2, 2), 'resnet50': (3, 4, 6, 3)}


def available() -> bool:
  """Whether PyTorch can be imported."""
  return importlib.util.find_spec('torch') is not None


def build(name: str):
  """An nn.Module from [b, 3, h, w] to pooled features."""
  from torch import nn

  class Residual(nn.Module):
    """A block of convolutions (size, stride, channels) and its shortcut."""

    def __init__(self, channels, convolutions):
      super().__init__()
      inside, layers, total = channels, [], 1
      for size, stride, features in convolutions:
        layers += [*_conv(nn, inside, features, size, stride), nn.ReLU()]
        inside, total = features, total * stride
      self.layers = nn.Sequential(*layers[:-1])
      self.shortcut = nn.Identity()
      if total > 1 or inside != channels:
        self.shortcut = nn.Sequential(*_conv(nn, channels, inside, 1, total))
      self.relu = nn.ReLU()

    def forward(self, x):
      return self.relu(self.layers(x) + self.shortcut(x))

  blocks, channels = [], 64
  for stage, depth in enumerate(_SIZES[name]):
    width = 64 * 2**stage
    for number in range(depth):
      stride = 2 if stage and not number else 1
      shape = [(3, stride, width), (3, 1, width)]
      if name == 'resnet50':
        shape = [(1, 1, width), (3, stride, width), (1, 1, 4 * width)]
      blocks.append(Residual(channels, shape))
      channels = shape[-1][2]
  return nn.Sequential(
    *_conv(nn, 3, 64, 7, 2),
    nn.ReLU(),
    nn.MaxPool2d(3, 2, 1),
    *blocks,
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
  )


def _conv(nn, inside, features, size, stride):
  """A convolution without bias, and its batch norm."""
  conv = nn.Conv2d(inside, features, size, stride, size // 2, bias=False)
  return conv, nn.BatchNorm2d(features)


def runners(
  name: str, images: np.ndarray, direction: np.ndarray
) -> tuple[Callable[[], object], Callable[[], object]]:
  """(a pass forward and back in training, a pass in use), to be timed.

  Args:
    name: 'resnet18' or 'resnet50'.
    images: float32[b, h, w, 3].
    direction: float32[b, f], the gradient of the features.
  """
  import torch

  x = torch.tensor(images.transpose(0, 3, 1, 2).copy())
  slope = torch.tensor(direction)
  learning, used = build(name).train(), build(name).eval()

  def train():
    learning.zero_grad()
    (learning(x) * slope).sum().backward()

  def use():
    with torch.no_grad():
      return used(x).numpy()

  return train, use


def operations(name: str, shape: tuple[int, ...]) -> float:
  """Multiplications and additions of a pass forward of [b, h, w, c] images."""
  import torch
  from torch.utils.flop_counter import FlopCounterMode

  batch, *sides, channels = shape
  images = torch.zeros((batch, channels, *sides), device='meta')
  with FlopCounterMode(display=False) as counter:
    build(name).to('meta')(images)
  return counter.get_total_flops()


def has_gpu() -> bool:
  """Whether PyTorch is there and sees a GPU."""
  if not available():
    return False
  import torch

  return torch.cuda.is_available()


def runners_of_gpu(
  name: str, images: np.ndarray, direction: np.ndarray, passes: int
) -> tuple[Callable[[], object], Callable[[], object]]:
  """As runners, on a GPU: channels last, compiled, in bfloat16.

  Each call is several passes, and waits until the GPU has done them.
  """
  import torch

  # What was compiled before counts towards a limit of eight programs.
  torch.compiler.reset()
  x = torch.tensor(images.transpose(0, 3, 1, 2).copy()).cuda().bfloat16()
  x = x.to(memory_format=torch.channels_last)
  slope = torch.tensor(direction).cuda()

  def built():
    return build(name).cuda().to(memory_format=torch.channels_last)

  learning = built().train()
  compiled = torch.compile(learning, dynamic=False)
  used = torch.compile(built().eval().bfloat16(), dynamic=False)

  def train():
    for _ in range(passes):
      learning.zero_grad()
      with torch.autocast('cuda', torch.bfloat16):
        features = compiled(x)
      (features * slope).sum().backward()
    torch.cuda.synchronize()

  def use():
    with torch.no_grad():
      for _ in range(passes):
        used(x)
    torch.cuda.synchronize()

  return train, use
