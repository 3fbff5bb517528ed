"""Procedural phantom mammograms: women who last, exposures that do not.

  spec = PhantomSpec(train_women=4, validation_women=0, test_women=2)
  table = frame(spec)
  shot = render(spec, woman=0, side='L', view='CC', visit_months=12)
  everything = PhantomImages(spec, cache_dir='cache')
  pixels = everything.images(np.arange(8))     # float32[8, 128, 128, 1]

Deterministic by seed; nothing is downloaded and nobody is in the pictures.
"""

from mammojax.data.phantom.images import PhantomImages
from mammojax.data.phantom.rendering import Mammogram, render
from mammojax.data.phantom.spec import PHANTOM_VERSION, PhantomSpec, frame

__all__ = [
  'PHANTOM_VERSION',
  'Mammogram',
  'PhantomImages',
  'PhantomSpec',
  'frame',
  'render',
]
