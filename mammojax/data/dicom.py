"""DICOM images (MG, DX, CR and other grey ones), read through pydicom.

file = DicomFile(data, 'exam/1.dcm', voi='auto')
image = file.image()                             # float32[h, w, 1]
image = DicomFile(data, 'exam/tomo.dcm').image(3)   # a frame

Only the tags that `dicomtags` lists are read.

The values run from 0 (black) to 1 (white). MONOCHROME1 is inverted, once, at
the end; PresentationLUTShape says the same a second time and is not read.
Pixels that the file declares as padding become 0.
"""

import struct
from typing import Any

import numpy as np

from mammojax import errors
from mammojax.data import dicomtags, limits, luts, pictures, stacks

MAX_FRAMES = 1000
_J2K = b'\xff\x4f\xff\x51'


def matches(data: bytes) -> bool:
  """Whether the bytes begin like a DICOM file."""
  return data[128:132] == b'DICM'


def inspect(data: bytes, name: str) -> tuple[int, int, int, int]:
  """See `readers.inspect`; the bits are those stored."""
  file = DicomFile(data, name)
  return file.width, file.height, 1, file.bits


class DicomFile:
  """The frames of one file, a `stacks.Stack`.

  Attributes:
    width, height: of a frame, in pixels.
    bits: of a stored value.
  """

  def __init__(self, data: bytes, name: str, voi: str = 'none'):
    """Reads the tags and decodes nothing yet.

    Args:
      data: the bytes of the whole file.
      name: for messages.
      voi: a mode of `luts`.

    Raises:
      UsageError: an unknown `voi`.
      DataError: damaged, too large, colour, or without pixels.
    """
    if voi not in luts.MODES:
      raise errors.unknown('voi', voi, luts.MODES)
    self._name = name
    self._voi = voi
    self._dataset = dicomtags.read(data, name, dicomtags.IMAGE_TAGS)
    self._read_layout()
    self._frames = self._whole('NumberOfFrames', 1)
    if not 1 <= self._frames <= MAX_FRAMES:
      self._refuse(f'{self._frames} frames; 1 to {MAX_FRAMES} are read')
    if not self._get('PixelData'):
      self._refuse('no pixels; truncated? Copy the file again')

  def __len__(self) -> int:
    return self._frames

  def image(self, index: int | None = None) -> np.ndarray:
    """One frame.

    Args:
      index: of a frame, from 0; None for the image of a file that has one.

    Returns:
      float32[h, w, 1] in [0, 1]. Under 'none' every stored level stays apart:
      (value - lowest) / (highest - lowest) of those that the bits allow.

    Raises:
      DataError: damaged; an index that is not there, or none where there are
        several frames.
    """
    if index is None and self._frames > 1:
      self._refuse(
        f'{self._frames} frames; name one by its index in the path,'
        f' {self._name + "#0"!r} to {f"{self._name}#{self._frames - 1}"!r}'
      )
    if index is not None and self._frames == 1:
      # One image has one name, so that it cannot be in a table twice.
      self._refuse(f'one image; leave #{index} off its path')
    stacks.check_index(index or 0, self._frames, self._name)
    stored = self._decode(index or 0)
    try:
      image = luts.apply(stored, self._dataset, self._range, self._voi)
    except dicomtags.damage() as error:
      # The text of the error may quote a value of the file: it is not shown.
      raise errors.DataError(
        f'{self._name!r}: a damaged rescale, window or LUT'
        f' ({type(error).__name__}); read it with voi="none" or repair it.'
      ) from None
    except errors.DataError as error:
      raise errors.DataError(f'{self._name!r}: {error}') from error
    if self._is_inverted:
      np.subtract(1, image, out=image)
    self._blank_padding(image, stored)
    return image[:, :, None]

  def _read_layout(self) -> None:
    """What the header says of a frame; refuses what is not a grey image."""
    self.width, self.height = self._whole('Columns'), self._whole('Rows')
    limits.check_pixels(self.width, self.height, self._name)
    meaning = dicomtags.text(self._dataset, 'PhotometricInterpretation')
    if meaning not in ('MONOCHROME1', 'MONOCHROME2'):
      self._refuse('no grey image (MONOCHROME1 or 2); write it as PNG')
    self._is_inverted = meaning == 'MONOCHROME1'
    self.bits = self._whole('BitsStored')
    allocated = self._whole('BitsAllocated')
    high = self._whole('HighBit', self.bits - 1)
    if (
      allocated not in (8, 16)
      or not 1 < self.bits <= allocated
      or high != self.bits - 1
      or self._whole('SamplesPerPixel', 1) != 1
    ):
      self._refuse(
        f'{self.bits} of {allocated} bits up to bit {high}; only whole values'
        ' of 8 or 16 bits, stored low, are read'
      )
    is_signed = self._whole('PixelRepresentation', 0) == 1
    lowest = -(1 << (self.bits - 1)) if is_signed else 0
    self._range = (lowest, lowest + (1 << self.bits) - 1)

  def _decode(self, index: int) -> np.ndarray:
    """The stored values of a frame, integers [h, w]."""
    pydicom = dicomtags.library(self._name)
    try:
      syntax = self._dataset.file_meta.TransferSyntaxUID
      if syntax.is_encapsulated:
        frame = pydicom.encaps.get_frame(
          self._dataset.PixelData, index, number_of_frames=self._frames
        )
        self._check_codestream(frame)
      # Without an index, one frame comes without a frame axis.
      chosen = index if self._frames > 1 else None
      # Bits above those stored are cut off silently unless asked not to.
      # Negative values need it where a writer did not extend their sign.
      is_signed = self._range[0] < 0
      stored = pydicom.pixels.pixel_array(
        self._dataset, index=chosen, correct_unused_bits=is_signed
      )
    except dicomtags.damage() as error:
      raise errors.DataError(
        f'{self._name!r}: the pixels of this DICOM file cannot be decoded'
        f' ({error}). Damaged or truncated? Copy it again; compressed files'
        " need pip install 'mammojax[dicom]'."
      ) from error
    if stored.shape != (self.height, self.width):
      self._refuse(f'pixels of shape {stored.shape}, unlike its header')
    low, high = self._range
    if stored.min() < low or stored.max() > high:
      self._refuse(
        f'values beyond its {self.bits} bits, {low} to {high}: a wrong'
        ' BitsStored, or an overlay in the upper bits; repair it'
      )
    return stored

  def _check_codestream(self, frame: bytes) -> None:
    """Compares the size in a JPEG or JPEG 2000 with that of the header.

    The decoder would take memory for the former.
    """
    size = None
    at = frame[:256].find(_J2K)
    if at >= 0 and len(frame) >= at + 24:
      right, bottom, left, top = struct.unpack_from('>4I', frame, at + 8)
      size = (right - left, bottom - top)
    elif frame.startswith(b'\xff\xd8\xff'):
      (_, height, width, _), _ = pictures.jpeg_header(frame, self._name)
      size = (width, height)
    if size not in (None, (self.width, self.height)):
      self._refuse(
        f'a compressed image of {size[0]} x {size[1]} pixels under a header of'
        f' {self.width} x {self.height}; refused'
      )

  def _blank_padding(self, image: np.ndarray, stored: np.ndarray) -> None:
    """Sets padding, a value or a range of values, to black."""
    if self._get('PixelPaddingValue') is None:
      return
    first = self._whole('PixelPaddingValue')
    last = self._whole('PixelPaddingRangeLimit', first)
    low, high = min(first, last), max(first, last)
    image[(stored >= low) & (stored <= high)] = 0.0

  def _whole(self, keyword: str, default: int | None = None) -> int:
    """A whole number of the header."""
    value = self._get(keyword)
    if value is None and default is not None:
      return default
    if not isinstance(value, int):
      raise self._damaged(keyword)
    return int(value)

  def _get(self, keyword: str) -> Any:
    try:
      return self._dataset.get(keyword)
    except dicomtags.damage():
      raise self._damaged(keyword) from None

  def _damaged(self, keyword: str) -> errors.DataError:
    return errors.DataError(
      f'{self._name!r} is a DICOM file whose {keyword} is missing or damaged;'
      ' copy it again.'
    )

  def _refuse(self, what: str) -> None:
    raise errors.DataError(f'{self._name!r} is a DICOM file with {what}.')
