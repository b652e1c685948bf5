"""Remove what a photo tells about people, and leave its pixels as they are, bit for bit.

Kept: colour profile, density, orientation, time of capture, make, model and exposure. Everything else that is no
picture goes: position, names, serial numbers, maker's notes, previews, XMP, IPTC, comments, whatever stands behind
the end of the picture.
"""

from __future__ import annotations

import io

from PIL import ExifTags, Image

from visionpipe.images.containers import (
    Rewritten,
    UnreadableContainerError,
    rewrite_bmp,
    rewrite_gif,
    rewrite_jpeg,
    rewrite_png,
    rewrite_webp,
)
from visionpipe.images.exif import captured_at, orientation, redact_exif

_REWRITERS = {
    "JPEG": rewrite_jpeg,
    "MPO": rewrite_jpeg,
    "PNG": rewrite_png,
    "WEBP": rewrite_webp,
    "GIF": rewrite_gif,
    "BMP": rewrite_bmp,
}
_XMP_KEYS = ("xmp", "XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type xmp")
_TIFF_TELLTALES = {  # tag -> what it tells
    ExifTags.Base.GPSInfo: "gps",
    ExifTags.Base.Artist: "owner",
    ExifTags.Base.Copyright: "owner",
    ExifTags.Base.HostComputer: "owner",
    ExifTags.Base.ImageDescription: "comment",
    ExifTags.Base.XMLPacket: "xmp",
    ExifTags.Base.IPTCNAA: "iptc",
    ExifTags.Base.ImageResources: "iptc",
    ExifTags.Base.ExifOffset: "other_tags",
    ExifTags.Base.MakerNote: "maker_note",
}


def strip_metadata(data: bytes, image: Image.Image) -> tuple[bytes, tuple[str, ...]]:
    """Remove metadata without encoding the pixels again.

    Parameters
    ----------
    data : bytes
        A file that can be decoded.
    image : PIL.Image.Image
        The same file, opened and loaded.

    Returns
    -------
    stripped : bytes
        The same object when there is nothing to remove.
    removed : tuple of str
        What was removed, in alphabetical order. A TIFF file is left as it is, because its parts hang together by
        absolute positions, and so is a format that is not taken apart here (AVIF, JPEG 2000): `not_redacted:` and
        what Pillow finds in it.

    Raises
    ------
    UnreadableContainerError
        When the file can be decoded, but its parts cannot be told apart or put together again with the same pixels.
        Such a photo is refused rather than stored: no one could say what it still tells.
    """
    if image.format == "TIFF":
        told = {name for tag, name in _TIFF_TELLTALES.items() if tag in getattr(image, "tag_v2", {})}
        return data, tuple(f"not_redacted:{name}" for name in sorted(told))
    if image.format not in _REWRITERS:
        told = redact_exif(image, len(image.info["exif"]))[1] if image.info.get("exif") else set()
        told |= {"xmp", "comment"} & set(image.info)
        return data, tuple(f"not_redacted:{name}" for name in sorted(told))
    rewrite, is_known = _REWRITERS[image.format], "exif" in image.info
    block, removed = b"", set()
    if is_known or any(key in image.info for key in _XMP_KEYS):  # XMP may say the orientation
        block, removed = redact_exif(image, len(image.info.get("exif") or b""))
    new = rewrite(data, None if is_known and not removed else block)
    if new.n_exif > is_known:  # a block that Pillow did not read
        removed.add("other_segments")
    if is_known and (new.n_exif > 1 or (not removed and new.removed & {"xmp", "comment"})):
        new = rewrite(data, block)  # the orientation may have stood in XMP alone
    removed = tuple(sorted(removed | new.removed))
    if not removed:
        return data, ()
    stripped = b"".join(new.parts)
    _require_same_photo(data, stripped, image, new)
    return stripped, removed


def _require_same_photo(data: bytes, stripped: bytes, image: Image.Image, new: Rewritten) -> None:
    """Open the new file and hold it against the old one; its pixels too where the old one was irregular."""
    try:
        with Image.open(io.BytesIO(stripped)) as after, Image.open(io.BytesIO(data)) as before:
            same = (after.size, after.mode) == (before.size, before.mode)
            if new.irregular:
                same = same and after.tobytes() == before.tobytes()
            if "exif" in after.info:  # otherwise a PNG would be decoded in search of it
                same = same and (orientation(after), captured_at(after)) == (
                    orientation(image),
                    captured_at(image),
                )
    except Exception as error:
        raise UnreadableContainerError("without its metadata the file cannot be opened") from error
    if not same:
        raise UnreadableContainerError("without its metadata the file would show another photo")
