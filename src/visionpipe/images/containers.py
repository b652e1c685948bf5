"""Take a file apart into its segments, chunks or blocks, and put it together again without those that tell on people.

Only containers are written anew: what holds pixels, colours or animation is copied byte for byte.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field

_MARKER_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_XMP = (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0")
_ADOBE_BYTES = 12  # its colour transform is the last of them
_PNG_KEPT = {
    *(b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"bKGD"),
    *(b"hIST", b"pHYs", b"sPLT", b"tIME", b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT"),
}
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"}
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")
_PNG_TEXTS = {b"tEXt": "comment", b"zTXt": "comment", b"iTXt": "comment"}


class UnreadableContainerError(ValueError):
    """The parts of a file cannot be told apart, so nothing can be removed from it with certainty."""


@dataclass
class Rewritten:
    """A file put together again.

    Attributes
    ----------
    parts : list of bytes
        Its parts.
    removed : set of str
        What was left out.
    n_exif : int
        How many EXIF blocks the file has.
    irregular : bool
        Whether bytes were met that belong to no part: decoders may read such a file in several ways.
    """

    parts: list[bytes] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    n_exif: int = 0
    irregular: bool = False


def rewrite_jpeg(data: bytes, exif: bytes | None) -> Rewritten:
    """Copy a JPEG file without what is no picture.

    Parameters
    ----------
    data : bytes
        The file.
    exif : bytes or None
        The EXIF block to write (b"": none); None leaves the one that is there.

    Returns
    -------
    Rewritten

    Raises
    ------
    UnreadableContainerError
        When a segment is cut off.
    """
    new = Rewritten([b"\xff\xd8"])
    pending = exif and b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    position = 2
    while True:
        start = data.find(b"\xff", position)
        if start < 0 or start + 1 >= len(data):  # no end marker; decoders accept that after the last line
            new.irregular |= position < len(data)
            new.parts.append(data[position:])
            return new
        new.irregular |= start > position
        marker, position = data[start + 1], start + 2
        if marker in (0x00, 0xFF):  # padding, or a stuffed byte outside a scan
            new.irregular |= marker == 0
            position -= marker == 0xFF
            continue
        if marker == 0xD9:
            new.parts.append(b"\xff\xd9")
            if data[position:].strip(b"\0"):
                new.removed.add("trailer")
            else:
                new.parts.append(data[position:])
            return new
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:  # these have no length
            new.irregular = True
            new.parts.append(data[start:position])
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            raise UnreadableContainerError(f"JPEG segment {marker:#x} is cut off")
        body, position = data[position + 2 : position + length], position + length
        if pending and marker != 0xE0:  # readers look for JFIF first, then for EXIF
            new.parts.append(pending)
            pending = b""
        kept, name = _judge_jpeg_segment(marker, body)
        if name == "exif":  # what it held is named by its tags
            new.n_exif += 1
            kept = body if exif is None else None
        elif name:
            new.removed.add(name)
        if kept is body:
            new.parts.append(data[start:position])
        elif kept is not None:
            new.parts.append(data[start : start + 2] + struct.pack(">H", len(kept) + 2) + kept)
        if marker == 0xDA:
            found = _MARKER_IN_SCAN.search(data, position)
            end = found.start() if found else len(data)
            new.parts.append(data[position:end])
            position = end


def _judge_jpeg_segment(marker: int, body: bytes) -> tuple[bytes | None, str | None]:
    """Return what is kept of a segment, and the name of what is not."""
    if marker == 0xFE:
        return None, "comment"
    if not 0xE0 <= marker <= 0xEF:
        return body, None
    if marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return (body, None) if len(body) == 14 else (body[:12] + b"\0\0", "thumbnail")
    if marker == 0xE1 and body.startswith(b"Exif\0"):
        return None, "exif"
    if marker == 0xE1 and body.startswith(_XMP):
        return None, "xmp"
    if marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        return body, None
    if marker == 0xEE and body.startswith(b"Adobe"):
        return (body, None) if len(body) <= _ADOBE_BYTES else (body[:_ADOBE_BYTES], "other_segments")
    if (marker == 0xE0 and body.startswith(b"JFXX\0")) or (marker == 0xE2 and body.startswith(b"MPF\0")):
        return None, "thumbnail"
    if marker == 0xED and body.startswith(b"Photoshop"):
        return None, "iptc"
    return None, "other_segments"


def rewrite_png(data: bytes, exif: bytes | None) -> Rewritten:
    """Copy a PNG file without text, EXIF and unknown chunks; times stay, as in EXIF. Parameters as `rewrite_jpeg`."""
    new, position = Rewritten([data[:8]]), 8
    pending = exif and _png_chunk(b"eXIf", exif)
    while position < len(data):
        kind, length = data[position + 4 : position + 8], int.from_bytes(data[position : position + 4], "big")
        chunk, position = data[position : position + length + 12], position + length + 12
        new.irregular |= len(chunk) < length + 12  # cut off: decoders accept that behind the last row
        if pending and kind == b"IDAT":
            new.parts.append(pending)
            pending = b""
        if kind == b"IEND":
            new.parts.append(chunk)
            if data[position:].strip(b"\0"):
                new.removed.add("trailer")
            else:
                new.parts.append(data[position:])
            return new
        new.n_exif += kind == b"eXIf"
        new.irregular |= kind[:1].isupper() and kind not in _PNG_KEPT  # "critical", but decoders pass it over
        if kind in _PNG_KEPT or (kind == b"eXIf" and exif is None):
            new.parts.append(chunk)
        elif kind != b"eXIf":
            is_xmp = kind == b"iTXt" and chunk[8:].startswith(b"XML:com.adobe.xmp\0")
            new.removed.add("xmp" if is_xmp else _PNG_TEXTS.get(kind, "other_segments"))
    return new


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def rewrite_bmp(data: bytes, exif: bytes | None) -> Rewritten:
    """Copy a BMP file without what stands behind its pixels and colour profile; a BMP has no EXIF."""
    start, header = struct.unpack_from("<II", data, 10)
    if not start:
        raise UnreadableContainerError("the BMP does not say where its pixels start")
    new = Rewritten([data])
    if header == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = n_bytes = 0
    else:
        width, height, _, bits, compression, n_bytes = struct.unpack_from("<iiHHII", data, 18)
    if compression in (1, 2):  # run lengths: only the header knows how many bytes there are
        end = start + n_bytes if n_bytes else len(data)
    else:
        end = start + (width * bits + 31) // 32 * 4 * abs(height)
    if header >= 124:
        profile_at, n_profile = struct.unpack_from("<II", data, 14 + 112)
        end = max(end, 14 + profile_at + n_profile if n_profile else 0)
    if data[end:].strip(b"\0"):
        new.parts = [data[:2] + struct.pack("<I", end) + data[6:end]]
        new.removed.add("trailer")
        new.irregular = True  # the header may be wrong
    return new


def rewrite_webp(data: bytes, exif: bytes | None) -> Rewritten:
    """Copy a WebP file without EXIF, XMP and unknown chunks; parameters as `rewrite_jpeg`."""
    end = int.from_bytes(data[4:8], "little") + 8
    if end > len(data):
        raise UnreadableContainerError("the WebP file is cut off")
    new, position, flags_at = Rewritten([b""]), 12, None
    has_exif = False
    while position + 8 <= end:
        kind, length = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        following = position + 8 + length + length % 2
        if position + 8 + length > end:
            raise UnreadableContainerError("a WebP chunk is cut off")
        chunk, position = data[position:following], following
        if kind == b"VP8X" and length >= 10:
            flags_at = len(new.parts)
        new.n_exif += kind == b"EXIF"
        if kind == b"EXIF" and exif is None:
            has_exif = True
            new.parts.append(chunk)
        elif kind in _WEBP_KEPT:
            new.parts.append(chunk)
        elif kind != b"EXIF":
            new.removed.add("xmp" if kind == b"XMP " else "other_segments")
    if exif and flags_at is not None:
        has_exif = True
        new.parts.append(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))
    if flags_at is not None:  # the header says which chunks follow
        header = new.parts[flags_at]
        new.parts[flags_at] = header[:8] + bytes([header[8] & ~0x0C | 0x08 * has_exif]) + header[9:]
    new.parts[0] = b"RIFF" + struct.pack("<I", sum(map(len, new.parts)) + 4) + b"WEBP"
    if data[end:].strip(b"\0"):
        new.removed.add("trailer")
    else:
        new.parts.append(data[end:])
    return new


def rewrite_gif(data: bytes, exif: bytes | None) -> Rewritten:
    """Copy a GIF file without comments and unknown application blocks; a GIF has no EXIF."""
    new = Rewritten()
    position = 13 + _gif_table(data[10:11])
    new.parts.append(data[:position])
    while position < len(data):
        start, kind = position, data[position]
        if kind == 0x3B:
            new.parts.append(b";")
            if data[position + 1 :].strip(b"\0"):
                new.removed.add("trailer")
            else:
                new.parts.append(data[position + 1 :])
            return new
        if kind == 0x2C:
            position += 11 + _gif_table(data[position + 9 : position + 10])
        elif kind == 0x21:
            position += 2
        else:
            raise UnreadableContainerError(f"unknown GIF block {kind:#x}")
        name = data[position + 1 : position + 12]
        while position < len(data) and data[position]:
            position += data[position] + 1
        position += 1
        label = data[start + 1 : start + 2] if kind == 0x21 else b""
        if label == b"\xfe" or (label == b"\xff" and not name.startswith(_GIF_KEPT)):
            new.removed.add(
                "comment" if label == b"\xfe" else "xmp" if name.startswith(b"XMP") else "other_segments"
            )
        else:
            new.parts.append(data[start:position])
    return new


def _gif_table(flags: bytes) -> int:
    """Return the length of the colour table that the flags announce [bytes]."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
