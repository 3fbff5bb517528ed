"""The tags of DICOM files that are read, and no others.

    about = header(data, 'exam/1.dcm', key)        # about.subject: a pseudonym

No name, address or free text enters the program; the patient's id leaves this
module as a pseudonym only. No message quotes a value.
"""

import dataclasses
import datetime
import functools
import io
import struct
from typing import Any

from mammojax import errors
from mammojax.data import pseudonyms

IMAGE_TAGS = (
  'SamplesPerPixel',
  'PhotometricInterpretation',
  'Rows',
  'Columns',
  'NumberOfFrames',
  'BitsAllocated',
  'BitsStored',
  'HighBit',
  'PixelRepresentation',
  'PixelPaddingValue',
  'PixelPaddingRangeLimit',
  'RescaleIntercept',
  'RescaleSlope',
  'ModalityLUTSequence',
  'VOILUTSequence',
  'VOILUTFunction',
  'WindowCenter',
  'WindowWidth',
  'ExtendedOffsetTable',
  'ExtendedOffsetTableLengths',
  'PixelData',
)
HEADER_TAGS = (
  'PatientID',
  'Modality',
  'ImageLaterality',
  'Laterality',
  'ViewPosition',
  'StudyDate',
)
_DEFLATED = b'1.2.840.10008.1.2.1.99'


@dataclasses.dataclass(frozen=True)
class Header:
  """What a table needs to know of a file.

  Attributes:
    subject: pseudonym of the patient.
    modality: 'MG', 'DX', 'CR', ...
    laterality: 'L', 'R' or ''.
    view: 'CC', 'MLO', ... or ''.
    exam_date: of the study, to be made a number of days with
      `pseudonyms.days_since_first`; None when absent. Never shown.
  """

  subject: str
  modality: str
  laterality: str
  view: str
  exam_date: datetime.date | None = dataclasses.field(repr=False)


def header(data: bytes, name: str, key: bytes) -> Header:
  """The tags that a table is made of.

  Args:
    data: the bytes of the file.
    name: for messages.
    key: see `pseudonyms.load_key`.

  Returns:
    `Header`.

  Raises:
    DataError: damaged, or without a patient's id.
  """
  dataset = read(data, name, HEADER_TAGS)
  patient = text(dataset, 'PatientID')
  if not patient:
    raise errors.DataError(
      f'{name!r}: the DICOM file has no PatientID; give the subject in the'
      ' table.'
    )
  side = text(dataset, 'ImageLaterality')
  side = side or text(dataset, 'Laterality')
  return Header(
    subject=pseudonyms.pseudonym(patient, key),
    modality=text(dataset, 'Modality'),
    laterality=side if side in ('L', 'R') else '',
    view=text(dataset, 'ViewPosition'),
    exam_date=_date(text(dataset, 'StudyDate')),
  )


def library(name: str) -> Any:
  """The pydicom package, imported when the first file asks for it.

  Args:
    name: of the file, for the message.

  Returns:
    the module, with those below it that are used.

  Raises:
    DataError: it is not installed.
  """
  try:
    import pydicom
    import pydicom.encaps
    import pydicom.pixels
  except ImportError as error:
    raise errors.DataError(
      f'{name!r} is a DICOM file, which needs pydicom: pip install'
      " 'mammojax[dicom]'."
    ) from error
  return pydicom


@functools.cache
def damage() -> tuple[type[Exception], ...]:
  """What pydicom and its decoders raise on damage, once it is installed.

  UserWarning is among it: where warnings are made errors, that of a file that
  ends too soon arrives as one.
  """
  import pydicom.errors

  return (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    UserWarning,
    ValueError,
    struct.error,
    pydicom.errors.BytesLengthException,
  )


def read(data: bytes, name: str, tags: tuple[str, ...]) -> Any:
  """The listed tags of a file.

  Args:
    data: the bytes of the whole file.
    name: for messages.
    tags: keywords.

  Returns:
    pydicom Dataset.

  Raises:
    DataError: cut, damaged, deflated, or pydicom is not installed.
  """
  pydicom = library(name)
  if _DEFLATED in data[132:4096]:
    raise errors.DataError(
      f'{name!r}: a DICOM file deflated as a whole, whose size cannot be told'
      ' before unpacking; convert it, for example with dcmconv +te.'
    )
  try:
    return pydicom.dcmread(io.BytesIO(data), specific_tags=list(tags))
  except damage():
    raise errors.DataError(
      f'{name!r}: a DICOM file that is cut or damaged, {len(data)} bytes; copy'
      ' it again.'
    ) from None


def text(dataset: Any, keyword: str) -> str:
  """A tag as stored: pydicom would quote a malformed one in a warning.

  Args:
    dataset: pydicom Dataset.
    keyword: of the tag.

  Returns:
    its text; '' when absent.
  """
  element = dataset.get_item(keyword)
  value = b'' if element is None else element.value
  if isinstance(value, bytes):
    try:
      decoded = value.decode('utf-8')
    except UnicodeDecodeError:
      decoded = value.decode('latin-1')
    return decoded.strip(' \0')
  return str(value or '').strip()


def _date(text: str) -> datetime.date | None:
  """A date of DICOM, YYYYMMDD; None when it is none."""
  try:
    return datetime.datetime.strptime(text, '%Y%m%d').date()
  except ValueError:
    return None
