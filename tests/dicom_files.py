"""Small DICOM files, written by pydicom."""

import io

import numpy as np
import pydicom

from mammojax.data import readers


def dataset(pixels, bits=12, meaning='MONOCHROME2', **tags):
  """A small mammogram; uint16 or int16 [h, w] or [frames, h, w]."""
  made = pydicom.Dataset()
  made.file_meta = pydicom.dataset.FileMetaDataset()
  made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  made.SOPClassUID = (
    pydicom.uid.DigitalMammographyXRayImageStorageForPresentation
  )
  made.SOPInstanceUID = pydicom.uid.generate_uid()
  made.PatientID, made.Modality = '4711', 'MG'
  made.Rows, made.Columns = pixels.shape[-2:]
  if pixels.ndim == 3:
    made.NumberOfFrames = len(pixels)
  made.SamplesPerPixel, made.PhotometricInterpretation = 1, meaning
  made.BitsAllocated = 8 * pixels.dtype.itemsize
  made.BitsStored, made.HighBit = bits, bits - 1
  made.PixelRepresentation = int(pixels.dtype.kind == 'i')
  made.PixelData = pixels.tobytes()
  for keyword, value in tags.items():
    setattr(made, keyword, value)
  return made


def to_bytes(made):
  buffer = io.BytesIO()
  made.save_as(buffer, enforce_file_format=True)
  return buffer.getvalue()


def decode(made, voi='none'):
  return readers.decode(to_bytes(made), 'x.dcm', voi)[..., 0]


def ramp(bits):
  return np.arange(1 << bits, dtype=np.uint16).reshape(-1, 1 << bits // 2)


def lut(entries, first, bits):
  item = pydicom.Dataset()
  item.add_new('LUTDescriptor', 'US', [len(entries), first, bits])
  item.add_new('LUTData', 'OW', np.asarray(entries, '<u2').tobytes())
  item.ModalityLUTType = 'US'
  return pydicom.Sequence([item])
