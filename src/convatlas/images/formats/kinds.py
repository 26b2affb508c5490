"""Tell the kind of a file from its first bytes, to name what is not read as a photo."""

from __future__ import annotations

import re

READ = {
    "JPEG": rb"\xff\xd8\xff(?!\xf7)",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "TIFF": rb"(II\*\0|MM\0\*)(?!.{4}CR)|II\+\0|MM\0\+",
    "WEBP": rb"RIFF....WEBP",
    "PPM": rb"P[1-6fF7]\s",
    "AVIF": rb"....ftyp(avif|avis)",
}
"""Formats of photos that are read, by their name in Pillow: patterns of their first bytes."""

OTHERS = {
    "an AVIF photo, which needs Pillow 11.3 or newer": rb"....ftyp(avif|avis)",
    "a HEIC photo": rb"....ftyp(hei[cxms]|hev[cxms])",
    "a HEIF or AVIF photo of an unusual kind": rb"....ftyp(mif[12]|msf1|miaf|jpeg|jpgs|avci)",
    "a raw photo (CR3)": rb"....ftypcrx ",
    "a video (MP4 or QuickTime)": rb"....(ftyp|moov|mdat|wide|free|skip|pnot)",
    "a video (WebM or Matroska)": rb"\x1aE\xdf\xa3",
    "a video (AVI)": rb"RIFF....AVI ",
    "a video (MPEG)": rb"\0\0\x01[\xb3\xba]|G.{187}G",
    "a video (Windows Media)": rb"0&\xb2u\x8ef\xcf\x11",
    "a video (Flash)": rb"FLV\x01",
    "a video (Ogg)": rb"OggS",
    "a sound file (WAV)": rb"RIFF....WAVE",
    "a sound file (MP3)": rb"ID3",
    "a sound file (FLAC)": rb"fLaC",
    "a JPEG XL photo": rb"\xff\n|\0\0\0\x0cJXL \r\n\x87\n",
    "a JPEG 2000 photo": rb"\0\0\0\x0cjP  \r\n\x87\n|\xffO\xffQ",
    "a JPEG-LS photo": rb"\xff\xd8\xff\xf7",
    "a JPEG XR photo": rb"II\xbc",
    "a raw photo (CR2)": rb"(II\*\0|MM\0\*).{4}CR",
    "a raw photo (CRW)": rb"II.{4}HEAPCCDR",
    "a raw photo (ORF)": rb"IIR[OS]|MMOR",
    "a raw photo (RW2)": rb"IIU\0",
    "a raw photo (RAF)": rb"FUJIFILMCCD-RAW",
    "a raw photo (X3F)": rb"FOVb",
    "a raw photo (MRW)": rb"\0MRM",
    "a PDF document": rb".{0,1000}%PDF-",
    "a PostScript document": rb"%!PS|\xc5\xd0\xd3\xc6",
    "an SVG drawing": rb"(\xef\xbb\xbf)?\s*(<\?xml.{0,2000}?)?(<!--.{0,2000}?-->\s*)?"
    rb"(<!DOCTYPE svg.{0,2000}?)?<svg[\s>]",
    "a web page": rb"\s*(<!DOCTYPE html|<html)",
    "a Photoshop document": rb"8BPS",
    "a GIMP document": rb"gimp xcf",
    "an OpenEXR image": rb"v/1\x01",
    "a Radiance HDR image": rb"#\?(RADIANCE|RGBE)",
    "a DirectDraw surface": rb"DDS ",
    "a texture (KTX)": rb"\xabKTX ",
    "an icon": rb"\0\0[\x01\x02]\0[^\0]\0",
    "a TGA image": rb".[\0\x01][\x01-\x03\x09-\x0b]\0\0.{3}\0{4}.{4}[\x08\x0f\x10\x18\x20][\0\x08\x20\x28]",
    "an icon (ICNS)": rb"icns",
    "a PCX image": rb"\n[\0\x02-\x05]\x01[\x01\x02\x04\x08]",
    "a Sun raster image": rb"Y\xa6j\x95",
    "an SGI image": rb"\x01\xda[\0\x01][\x01\x02]",
    "a FLIF image": rb"FLIF",
    "a QOI image": rb"qoif",
    "a BPG image": rb"BPG\xfb",
    "a DjVu document": rb"AT&TFORM",
    "a DICOM file": rb".{128}DICM",
    "a FITS file": rb"SIMPLE  =",
    "an HDF5 file": rb"\x89HDF\r\n\x1a\n",
    "a NumPy file": rb"\x93NUMPY",
    "a MATLAB file": rb"MATLAB 5",
    "a Windows metafile": rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF",
    "an archive (ZIP), or a file that is one inside": rb"PK\x03\x04",
    "an archive (gzip)": rb"\x1f\x8b",
    "an archive (7-Zip)": rb"7z\xbc\xaf'\x1c",
    "an archive (RAR)": rb"Rar!\x1a\x07",
    "an archive (xz)": rb"\xfd7zXZ",
    "an archive (bzip2)": rb"BZh[1-9]1AY",
    "an archive (tar)": rb".{257}ustar",
    "a file that Git LFS has not fetched yet": rb"version https://git-lfs",
}
"""Kinds of files that are not read, in words: patterns of their first bytes."""

HEAD = 4096
"""Number of first bytes that the patterns look at."""


def format_of(head: bytes) -> str | None:
    """Return Pillow's name of a file's format if it is one of those that are read, told from its first bytes."""
    return next((name for name, pattern in READ.items() if _matches(pattern, head)), None)


def kind_of(head: bytes) -> str | None:
    """Return what a file is in words if it is of a known kind that is not read, told from its first bytes."""
    return next((name for name, pattern in OTHERS.items() if _matches(pattern, head)), None)


def _matches(pattern: bytes, head: bytes) -> bool:
    return re.match(pattern, head, re.DOTALL) is not None
