"""What is too large to be decoded, told before memory is taken for it."""

from mammojax import errors

MAX_MEGAPIXELS = 100
# Packed data is refused when it is both large and this well packed.
MAX_RATIO = 200
_LARGE_BYTES = 1 << 24


def check_pixels(width: int, height: int, name: str) -> None:
  """Refuses images above 100 megapixels and those without a pixel.

  Args:
    width: columns, as the header says.
    height: rows.
    name: for messages.

  Raises:
    DataError: too many or none.
  """
  if width < 1 or height < 1:
    raise errors.DataError(
      f'{name!r}: {width} x {height} pixels; the header is damaged.'
    )
  if width * height > MAX_MEGAPIXELS * 1_000_000:
    raise errors.DataError(
      f'{name!r}: {width} x {height} pixels; refused above'
      f' {MAX_MEGAPIXELS} megapixels.'
    )


def check_ratio(packed: int, unpacked: int, name: str) -> None:
  """Refuses data that unpacks to 200 times its size and above 16 MiB.

  Args:
    packed: bytes as stored.
    unpacked: bytes as announced.
    name: for messages.

  Raises:
    DataError: packed too well to be images.
  """
  if unpacked > max(_LARGE_BYTES, MAX_RATIO * max(packed, 1)):
    raise errors.DataError(
      f'{name!r} unpacks {packed} bytes to {unpacked}; refused above a'
      f' ratio of {MAX_RATIO}.'
    )
