"""From the stored values of a DICOM image to grey, as part 3 of DICOM says.

image = apply(stored, dataset, (0, 4095), 'auto')     # float32[h, w] in [0, 1]

Modality first (LUT or rescale), then VOI:

  none    no window: all levels that the bits allow, stretched to [0, 1]
  window  the first window: LINEAR, LINEAR_EXACT or SIGMOID as the file says
  lut     the first VOI LUT
  auto    the LUT, else the window, else none

Source: DICOM PS3.3, C.11.1 (modality) and C.11.2 (VOI).
"""

from typing import Any

import numpy as np

from mammojax import errors

MODES = ('none', 'auto', 'window', 'lut')


def apply(
  stored: np.ndarray, dataset: Any, bounds: tuple[int, int], voi: str
) -> np.ndarray:
  """Modality and VOI transform.

  Args:
    stored: int[h, w].
    dataset: pydicom Dataset with the tags of `dicomtags.IMAGE_TAGS`.
    bounds: least and greatest value that the bits can hold.
    voi: a mode of this module.

  Returns:
    float32[h, w] in [0, 1], not inverted.

  Raises:
    DataError: the file lacks what `voi` asks for, or holds a window or a
      rescale that means nothing. The file is named by the caller.
    ValueError, TypeError, LookupError: damaged numbers.
  """
  values, low, high = _modality(stored, dataset, bounds)
  if voi == 'auto':
    voi = 'none'
    if dataset.get('VOILUTSequence'):
      voi = 'lut'
    elif _first(dataset, 'WindowCenter') is not None:
      voi = 'window'
  if voi == 'lut':
    if not dataset.get('VOILUTSequence'):
      raise errors.DataError('no VOI LUT in the file; choose voi="auto".')
    whole = np.rint(values).astype(np.int64)
    values, high = _look_up(whole, dataset, 'VOILUTSequence', bounds[0] < 0)
    return (values / high).astype(np.float32)
  if voi == 'window':
    return _window(values.astype(np.float64), dataset).astype(np.float32)
  if values.dtype.kind == 'f':
    return ((values - low) / (high - low)).astype(np.float32)
  # 16 bits and their differences are exact in float32, at half the memory.
  image = values.astype(np.float32)
  image -= np.float32(low)
  image /= np.float32(high - low)
  return image


def window(
  values: np.ndarray, centre: float, width: float, function: str = 'LINEAR'
) -> np.ndarray:
  """A window of DICOM, to [0, 1].

      LINEAR        (x - (c - 1/2)) / (w - 1) + 1/2, clipped
      LINEAR_EXACT  (x - c) / w + 1/2, clipped
      SIGMOID       1 / (1 + exp(-4 (x - c) / w))

  Args:
    values: float64, after the modality transform.
    centre: c.
    width: w; at least 1 for LINEAR, else above 0.
    function: name of the formula.

  Returns:
    float64 of the same shape.

  Raises:
    DataError: an unknown function or a width that is too small.

  Source: DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.
  """
  if function not in ('LINEAR', 'LINEAR_EXACT', 'SIGMOID'):
    raise errors.DataError(
      f'the VOI LUT function {function!r} is none of LINEAR, LINEAR_EXACT and'
      ' SIGMOID; choose voi="none".'
    )
  if not (width >= 1 if function == 'LINEAR' else width > 0):
    raise errors.DataError(
      f'a window of width {width:g} ({function}); choose voi="none".'
    )
  if function == 'SIGMOID':
    # Beyond 500 the exponential is 0 or infinite as far as float32 can tell.
    slope = np.clip(4 * (values - centre) / width, -500, 500)
    return 1 / (1 + np.exp(-slope))
  if function == 'LINEAR':
    centre, width = centre - 0.5, width - 1
  if width == 0:
    return (values > centre).astype(np.float64)
  return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _window(values: np.ndarray, dataset: Any) -> np.ndarray:
  centre = _first(dataset, 'WindowCenter')
  width = _first(dataset, 'WindowWidth')
  if centre is None or width is None:
    raise errors.DataError('no window in the file; choose voi="auto".')
  function = str(dataset.get('VOILUTFunction') or 'LINEAR')
  return window(values, centre, width, function)


def _modality(
  stored: np.ndarray, dataset: Any, bounds: tuple[int, int]
) -> tuple[np.ndarray, float, float]:
  """(values, the least and the greatest that they can be)."""
  if dataset.get('ModalityLUTSequence'):
    values, high = _look_up(
      stored.astype(np.int64), dataset, 'ModalityLUTSequence', bounds[0] < 0
    )
    return values, 0.0, high
  slope = _first(dataset, 'RescaleSlope')
  intercept = _first(dataset, 'RescaleIntercept')
  slope = 1.0 if slope is None else slope
  intercept = 0.0 if intercept is None else intercept
  if slope == 0 or not np.isfinite(slope) or not np.isfinite(intercept):
    raise errors.DataError(f'a rescale slope of {slope:g}; repair the file.')
  if slope == 1.0 and intercept == 0.0:
    return stored, *bounds
  values = stored * slope + intercept
  ends = [bound * slope + intercept for bound in bounds]
  return values, min(ends), max(ends)


def _look_up(
  values: np.ndarray, dataset: Any, keyword: str, is_signed: bool
) -> tuple[np.ndarray, float]:
  """(values through the first LUT of a sequence, the greatest possible)."""
  item = dataset[keyword].value[0]
  count, first, bits = (int(part) for part in item.LUTDescriptor)
  count = count or 1 << 16
  if is_signed and first >= 1 << 15:
    first -= 1 << 16
  data = item.LUTData
  if isinstance(data, bytes):
    order = '<' if dataset.original_encoding[1] else '>'
    dtype = 'u1' if len(data) in (count, count + 1) else f'{order}u2'
    data = np.frombuffer(data, dtype)
  table = np.atleast_1d(np.asarray(data, np.int64))
  high = (1 << bits) - 1
  if len(table) < count or not 8 <= bits <= 16:
    raise errors.DataError(
      f'a LUT of {len(table)} entries and {bits} bits that announces {count};'
      ' choose voi="none" or repair the file.'
    )
  table = table[:count]
  if table.max() > high or table.min() < 0:
    raise errors.DataError(
      f'a LUT with entries beyond its {bits} bits; choose voi="none" or repair'
      ' the file.'
    )
  return table[np.clip(values - first, 0, count - 1)], float(high)


def _first(dataset: Any, keyword: str) -> float | None:
  """A number, or the first of several; None when absent."""
  value = dataset.get(keyword)
  if value is None or value == '':
    return None
  return float(value if np.isscalar(value) else value[0])
