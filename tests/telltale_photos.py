"""Photos that tell all that a file can tell about people."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from photo_files import encode, picture

PHOTO = picture(1, 96, 64)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
B, SECRET = ExifTags.Base, "Ada Lovelace"
XMP = f'<x:xmpmeta><rdf:Description dc:creator="{SECRET}"/></x:xmpmeta>'.encode()


def telltale_exif(orientation: int = 6) -> bytes:
    """Write an EXIF block as a phone does, with all that it should not tell."""
    block = Image.Exif()
    block[B.Orientation] = orientation
    block[B.Make], block[B.Model] = "Phones Inc.", "P 1"
    block[B.Artist] = block[B.Copyright] = block[B.ImageDescription] = SECRET
    details = block.get_ifd(ExifTags.IFD.Exif)
    details[B.DateTimeOriginal], details[B.OffsetTimeOriginal] = "2026:01:05 10:00:00", "+02:00"
    details[B.ExposureTime], details[B.FNumber], details[B.ISOSpeedRatings] = 0.01, 2.8, 400
    details[B.BodySerialNumber] = details[B.CameraOwnerName] = details[B.LensSerialNumber] = SECRET
    details[B.MakerNote] = SECRET.encode()
    position = block.get_ifd(ExifTags.IFD.GPSInfo)
    position[ExifTags.GPS.GPSLatitudeRef], position[ExifTags.GPS.GPSLatitude] = "N", (50.0, 6.0, 7.0)
    return block.tobytes()


def with_thumbnail(exif: bytes) -> bytes:
    """Append a second directory with a preview to an EXIF block, as every camera does."""
    body = bytearray(exif[6:])
    order = "<" if body[:2] == b"II" else ">"
    (first,) = struct.unpack(order + "I", body[4:8])
    (count,) = struct.unpack(order + "H", body[first : first + 2])
    preview = encode(picture(2, 16, 16), "JPEG")
    start = len(body)
    struct.pack_into(order + "I", body, first + 2 + 12 * count, start)
    entries = [(0x0201, 4, 1, start + 30), (0x0202, 4, 1, len(preview))]
    body += struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return exif[:6] + bytes(body) + struct.pack(order + "I", 0) + preview


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def phone_jpeg(photo: Image.Image = PHOTO, **options) -> bytes:
    """Write a JPEG with everything that a JPEG can tell."""
    data = encode(
        photo, "JPEG", exif=with_thumbnail(telltale_exif()), icc_profile=PROFILE, dpi=(300, 300), **options
    )
    more = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    more += segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + SECRET.encode())
    more += segment(0xFE, SECRET.encode()) + segment(0xE5, SECRET.encode())
    return data[:2] + more + data[2:] + SECRET.encode()


def phone_png(photo: Image.Image = PHOTO) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", SECRET)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    texts.add_text("Comment", SECRET, zip=True)
    data = encode(photo, "PNG", pnginfo=texts, exif=telltale_exif(), icc_profile=PROFILE, dpi=(300, 300))
    private = struct.pack(">I", len(SECRET)) + b"prVt" + SECRET.encode()
    private += struct.pack(">I", zlib.crc32(private[4:]))
    return data[:33] + private + data[33:] + SECRET.encode()


def phone_webp(photo: Image.Image = PHOTO, **options) -> bytes:
    return (
        encode(photo, "WEBP", exif=telltale_exif(), xmp=XMP, icc_profile=PROFILE, **options) + SECRET.encode()
    )


FILES = {
    "jpeg": phone_jpeg(),
    "progressive jpeg": phone_jpeg(progressive=True),
    "grey jpeg": phone_jpeg(PHOTO.convert("L")),
    "cmyk jpeg": phone_jpeg(PHOTO.convert("CMYK")),
    "png": phone_png(),
    "palette png": phone_png(PHOTO.convert("P")),
    "16-bit png": phone_png(Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96) * 9)),
    "webp": phone_webp(),
    "lossless webp": phone_webp(lossless=True),
    "transparent webp": phone_webp(PHOTO.convert("RGBA"), lossless=True),
}
