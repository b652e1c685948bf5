"""What a photo's EXIF block says, and a new block that says only what pixels and science need.

Pillow parses and writes; a damaged block says nothing, and never costs the photo.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

_TURNS = {  # EXIF orientation -> what puts the photo upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
INVERSE_TURNS = {
    turn: {
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    }.get(turn, turn)
    for turn in _TURNS.values()
}
"""What undoes a turn."""
_B = ExifTags.Base
KEPT_TAGS = {_B.Orientation, _B.Make, _B.Model}
"""Tags of the main directory that stay."""
KEPT_DETAILS = {
    _B.DateTimeOriginal,
    _B.OffsetTimeOriginal,
    _B.SubsecTimeOriginal,
    _B.ExposureTime,
    _B.FNumber,
    _B.ExposureProgram,
    _B.ISOSpeedRatings,
    _B.ShutterSpeedValue,
    _B.ApertureValue,
    _B.BrightnessValue,
    _B.ExposureBiasValue,
    _B.MeteringMode,
    _B.LightSource,
    _B.Flash,
    _B.FocalLength,
    _B.FocalLengthIn35mmFilm,
    _B.ExposureMode,
    _B.WhiteBalance,
    _B.DigitalZoomRatio,
    _B.ColorSpace,
}
"""Tags of the Exif directory that stay: when, and with which exposure."""
_POINTERS = {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop, ExifTags.IFD.MakerNote}
_NAMED = {  # the rest is "other_tags"
    "owner": {_B.Artist, _B.Copyright, _B.CameraOwnerName, _B.XPAuthor, _B.HostComputer},
    "serial_number": {_B.BodySerialNumber, _B.LensSerialNumber, _B.CameraSerialNumber, _B.ImageUniqueID},
    "maker_note": {_B.MakerNote},
    "comment": {_B.ImageDescription, _B.UserComment, _B.XPComment, _B.XPTitle, _B.XPSubject, _B.XPKeywords},
}
_SLACK = 64  # bytes that padding may take; a longer block holds something that no directory names


def upright_turn(image: Image.Image) -> Image.Transpose | None:
    """Return what puts the photo upright, None where it is."""
    # not ImageOps.exif_transpose: it writes the EXIF block anew, which fails on a damaged one
    return _TURNS.get(orientation(image))


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where none is written."""
    value = _directory(image).get(_B.Orientation)
    return value if isinstance(value, int) and value in _TURNS else 1


def captured_at(image: Image.Image) -> datetime | None:
    """Return DateTimeOriginal in UTC; taken as UTC where no offset is written, None where no time is."""
    details = _directory(image, ExifTags.IFD.Exif)
    if _B.DateTimeOriginal not in details:
        return None
    written, offset = (
        str(details.get(tag)).strip("\x00 ") for tag in (_B.DateTimeOriginal, _B.OffsetTimeOriginal)
    )
    for text, pattern in ((f"{written} {offset}", "%Y:%m:%d %H:%M:%S %z"), (written, "%Y:%m:%d %H:%M:%S")):
        with contextlib.suppress(ValueError, OverflowError):
            parsed = datetime.strptime(text, pattern)
            return parsed.replace(tzinfo=parsed.tzinfo or UTC).astimezone(UTC)
    return None


def redact_exif(image: Image.Image, block_length: int) -> tuple[bytes, set[str]]:
    """Write the photo's EXIF block anew with only the kept tags.

    Parameters
    ----------
    image : PIL.Image.Image
        A loaded photo.
    block_length : int
        Length of the block in the file, without the `Exif` prefix [bytes].

    Returns
    -------
    block : bytes
        TIFF structure without the `Exif` prefix; b"" when no tag is left.
    removed : set of str
        What the old block held beyond that: gps, owner, serial_number, maker_note, comment, thumbnail, other_tags.
    """
    main, details = _directory(image), _directory(image, ExifTags.IFD.Exif)
    found = (set(main) - KEPT_TAGS - _POINTERS) | (set(details) - KEPT_DETAILS - _POINTERS)
    removed = {name for name, tags in _NAMED.items() if found & tags}
    if _directory(image, ExifTags.IFD.GPSInfo) or ExifTags.IFD.GPSInfo in main:
        removed.add("gps")
    if _directory(image, ExifTags.IFD.IFD1):
        removed.add("thumbnail")
    if ExifTags.IFD.MakerNote in details:
        removed.add("maker_note")
    if found - set().union(*_NAMED.values()):
        removed.add("other_tags")
    block = _minimal_block(main, details, orientation(image))
    if not removed and block_length > len(block) + _SLACK:
        removed.add("other_tags")
    return block, removed


def without_preview(image: Image.Image) -> bytes:
    """Write the photo's EXIF block anew without what may hold a smaller copy of it: the preview, the maker's note.

    Of a damaged block, which Pillow cannot write, the kept tags remain.
    """
    with contextlib.suppress(Exception):  # the parser raises nearly anything on hostile bytes
        exif = image.getexif()
        exif.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.IFD.MakerNote, None)
        return exif.tobytes()  # Pillow never writes IFD1, where the preview is
    main, details = _directory(image), _directory(image, ExifTags.IFD.Exif)
    return _minimal_block(main, details, orientation(image))


def _minimal_block(main: dict[int, Any], details: dict[int, Any], turned: int) -> bytes:
    """Serialise the kept tags; values that the writer does not take (a damaged block has such) are left out."""
    for allowed in (KEPT_DETAILS, {_B.DateTimeOriginal, _B.OffsetTimeOriginal}, set()):
        kept = Image.Exif()
        if turned != 1:
            kept[_B.Orientation] = turned
        for tag in (_B.Make, _B.Model):
            if isinstance(main.get(tag), str):
                kept[tag] = main[tag]
        for tag in sorted(allowed & set(details)):
            if isinstance(details[tag], (str, int, float, IFDRational)):
                kept.get_ifd(ExifTags.IFD.Exif)[tag] = details[tag]
        if not kept and not kept.get_ifd(ExifTags.IFD.Exif):
            return b""
        try:
            return kept.tobytes().removeprefix(b"Exif\x00\x00")
        except Exception:  # noqa: BLE001, S112 - values of a damaged block: write fewer
            continue
    return b""


def _directory(image: Image.Image, directory: int | None = None) -> dict[int, Any]:
    """Read a directory of the EXIF block; of a damaged one, what could be read."""
    with contextlib.suppress(Exception):  # the parser raises nearly anything on hostile bytes
        image.getexif()
    with contextlib.suppress(Exception):
        exif = image.getexif()  # the second call returns what the first could read
        return dict(exif) if directory is None else dict(exif.get_ifd(directory))
    return {}
