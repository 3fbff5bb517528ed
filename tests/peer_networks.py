"""Networks of other libraries at any width, and images to try them on."""

import os
import pathlib
import zipfile

import cv2
import numpy as np

from tests import small_phantom

VGG_BLOCKS = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


def images(side, number=4):
  """float32[n, side, side, 3] in [0, 1]: skin and breasts, or phantoms.

  The former where the environment names a folder of real data.
  """
  folder = os.environ.get('MAMMOJAX_DATA')
  if folder is None:
    grey = small_phantom.images().images(np.arange(number))[..., 0]
    found = [np.repeat(image[..., None], 3, axis=-1) for image in grey]
  else:
    root = pathlib.Path(folder)
    found = []
    with zipfile.ZipFile(root / 'ham10000_multi' / 'images.zip') as file:
      names = [n for n in sorted(file.namelist()) if n.endswith('.jpg')]
      for name in names[: number // 2]:
        data = np.frombuffer(file.read(name), np.uint8)
        found.append(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) / 255)
    paths = sorted((root / 'mini_mias' / 'images').iterdir())
    for path in paths[: number - len(found)]:
      found.append(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) / 255)
  return np.stack(
    [cv2.resize(np.float32(image), (side, side)) for image in found]
  )


def disturb(layers, rng):
  """Gives the norms of a Keras model statistics of their own."""
  for layer in layers:
    if type(layer).__name__ == 'BatchNormalization':
      layer.set_weights(
        [
          rng.uniform(0.5, 1.5, value.shape)
          if weight.name in ('gamma', 'moving_variance')
          else 0.1 * rng.normal(size=value.shape)
          for weight, value in zip(
            layer.weights, layer.get_weights(), strict=True
          )
        ]
      )


def keras_vgg(keras, width, side):
  """VGG16 with its published names, in Keras, `width` channels at first."""
  layers = keras.layers
  x = inputs = keras.Input((side, side, 3))
  for block, (number, factor) in enumerate(VGG_BLOCKS, start=1):
    for conv in range(1, number + 1):
      x = layers.Conv2D(
        width * factor,
        3,
        padding='same',
        activation='relu',
        kernel_initializer='he_normal',
        bias_initializer='random_normal',
        name=f'block{block}_conv{conv}',
      )(x)
    x = layers.MaxPooling2D(name=f'block{block}_pool')(x)
  x = layers.GlobalAveragePooling2D()(x)
  top = layers.Dense(3, name='predictions')(x)
  return keras.Model(inputs, top), keras.Model(inputs, x)


def torch_resnet(torch, blocks, width=64):
  """A ResNet of basic blocks with the module names of torchvision."""
  nn = torch.nn

  class Block(nn.Module):
    def __init__(self, inside, out, stride):
      super().__init__()
      self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
      self.bn1 = nn.BatchNorm2d(out)
      self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
      self.bn2 = nn.BatchNorm2d(out)
      self.downsample = None
      if stride > 1 or inside != out:
        self.downsample = nn.Sequential(
          nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )

    def forward(self, x):
      y = self.bn1(self.conv1(x)).relu()
      y = self.bn2(self.conv2(y))
      short = x if self.downsample is None else self.downsample(x)
      return (y + short).relu()

  class ResNet(nn.Module):
    def __init__(self):
      super().__init__()
      self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
      self.bn1 = nn.BatchNorm2d(width)
      self.maxpool = nn.MaxPool2d(3, 2, 1)
      inside = width
      for stage, number in enumerate(blocks):
        out = width * 2**stage
        parts = []
        for place in range(number):
          stride = 2 if stage and not place else 1
          parts.append(Block(inside, out, stride))
          inside = out
        setattr(self, f'layer{stage + 1}', nn.Sequential(*parts))
      self.fc = nn.Linear(inside, 10)

    def forward(self, x):
      x = self.maxpool(self.bn1(self.conv1(x)).relu())
      for stage in range(len(blocks)):
        x = getattr(self, f'layer{stage + 1}')(x)
      return x.mean((2, 3))

  model = ResNet().eval()
  for module in model.modules():
    if isinstance(module, nn.BatchNorm2d):
      nn.init.uniform_(module.weight, 0.5, 1.5)
      nn.init.normal_(module.bias, std=0.1)
      nn.init.normal_(module.running_mean, std=0.1)
      nn.init.uniform_(module.running_var, 0.5, 1.5)
  return model
