"""Look at one photo, once: decode it fully, measure it, fingerprint it.

Whatever the bytes, `inspect_photo` returns: an `Inspection` for a photo that can be used, a `Refusal` with a
reason code for one that cannot.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from visionpipe.images.parameters import IngestionParameters

_THUMBNAIL_SIDE_PX = 256  # statistics are taken at this size: comparable between cameras, and cheap
_HASH_SIDE = 16  # 16 x 16 low frequencies -> 256 bits
_FORMATS = {"MPO": "JPEG"}  # cameras append previews to a JPEG; Pillow then calls it by another name
_UPRIGHT = {  # EXIF orientation -> what puts the photo upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Inspection:
    """What one decoded photo looks like.

    Attributes
    ----------
    image_id : str
        SHA-256 of the bytes, 64 hexadecimal digits.
    width, height : int
        Upright size, after the EXIF orientation [pixels].
    brightness, contrast : float
        Mean and standard deviation of luma [0, 255].
    sharpness : float
        Variance of the Laplacian of luma at 256 px [luma^2]; small means blurred.
    perceptual_hash : str
        256-bit DCT hash, 64 hexadecimal digits (Zauner, "Implementation and benchmarking of perceptual
        image hash functions", 2010).
    captured_at : datetime or None
        From EXIF DateTimeOriginal and OffsetTimeOriginal [UTC]; taken as UTC where no offset is written.
    """

    image_id: str
    width: int
    height: int
    format: str
    n_bytes: int
    brightness: float
    contrast: float
    sharpness: float
    perceptual_hash: str
    captured_at: datetime | None


@dataclass(frozen=True)
class Refusal:
    """Why a photo cannot be used: a reason code to count by, and the detail to act on."""

    reason: str
    detail: str
    sha256: str
    n_bytes: int


def inspect_photo(data: bytes, limits: IngestionParameters) -> Inspection | Refusal:
    """Decode and measure one photo.

    Parameters
    ----------
    data : bytes
        The file as it is; any bytes at all are allowed.
    limits : IngestionParameters
        Accepted formats and sizes.

    Returns
    -------
    Inspection or Refusal
        Never raises for bad bytes.
    """
    sha256 = hashlib.sha256(data).hexdigest()

    def refuse(reason: str, detail: str) -> Refusal:
        return Refusal(reason=reason, detail=detail, sha256=sha256, n_bytes=len(data))

    if not data:
        return refuse("empty", "the file has no bytes")
    if len(data) > limits.max_bytes:
        return refuse("too_large", f"{len(data)} bytes, at most {limits.max_bytes} (ingestion.max_bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bomb is judged by our own limit below, EXIF noise is no fault
            with Image.open(io.BytesIO(data)) as image:
                file_format = _FORMATS.get(str(image.format), str(image.format))
                if file_format not in limits.formats:
                    return refuse("format", f"{file_format} is not one of {', '.join(limits.formats)}")
                if image.width * image.height > limits.max_pixels:
                    return refuse(
                        "too_many_pixels",
                        f"{image.width} x {image.height}, at most {limits.max_pixels} (ingestion.max_pixels)",
                    )
                if min(image.size) < limits.min_side_px:
                    return refuse(
                        "too_small",
                        f"{min(image.size)} px on the shorter side, {limits.min_side_px} needed "
                        "(ingestion.min_side_px)",
                    )
                image.load()
                upright = _upright(image)
                return Inspection(
                    image_id=sha256,
                    width=upright.width,
                    height=upright.height,
                    format=file_format,
                    n_bytes=len(data),
                    captured_at=_captured_at(image),
                    **_statistics(upright),
                )
    except Image.DecompressionBombError as error:  # Pillow's own limit, met before the size can be read
        return refuse("too_many_pixels", str(error))
    except Image.UnidentifiedImageError:  # its text holds a memory address: another one in every run
        return refuse("undecodable", "no known image format")
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on hostile bytes
        return refuse("undecodable", f"{type(error).__name__}: {error}"[:300])


def decode_rgb(data: bytes, side_px: int) -> np.ndarray:
    """Decode stored bytes to a square RGB array, upright.

    Parameters
    ----------
    data : bytes
        A photo that passed `inspect_photo`.
    side_px : int
        Wanted side; the photo is scaled to it on both axes, so that nothing at its edges is lost [pixels].

    Returns
    -------
    numpy.ndarray
        (side_px, side_px, 3) uint8.
    """
    # no warnings.catch_warnings here: it is not thread-safe, and this runs in many threads at once
    with Image.open(io.BytesIO(data)) as image:
        # JPEG decodes at the nearest larger eighth: several times faster
        image.draft("RGB", (side_px, side_px))
        rgb = _to_8_bit(_upright(image)).convert("RGB")
        return np.asarray(rgb.resize((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0))


def _upright(image: Image.Image) -> Image.Image:
    """Turn the photo as its EXIF orientation says."""
    # not ImageOps.exif_transpose: it writes the EXIF block anew, which fails on a damaged one
    turn = _UPRIGHT.get(_exif(image, ExifTags.Base.Orientation))
    return image if turn is None else image.transpose(turn)


def _exif(image: Image.Image, tag: int, directory: int | None = None) -> Any:
    """Read an EXIF value; a damaged block says nothing, and the photo is used all the same."""
    try:
        exif = image.getexif()
        return (exif if directory is None else exif.get_ifd(directory)).get(tag)
    except Exception:  # noqa: BLE001 - the parser raises nearly anything on hostile bytes
        return None


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit and floating greyscale to 8 bits; Pillow's own conversion clips them to white."""
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        values = np.asarray(image, dtype=np.float64)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        scaled = np.nan_to_num((values - low) / max(high - low, 1e-12)) * 255
        return Image.fromarray(scaled.astype(np.uint8))
    if image.mode in {"P", "PA", "LA", "RGBA", "La", "RGBa"}:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    return image


def _statistics(upright: Image.Image) -> dict[str, float | str]:
    from scipy.fft import dctn

    grey = _to_8_bit(upright).convert("L")
    small = grey.resize((_THUMBNAIL_SIDE_PX, _THUMBNAIL_SIDE_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    luma = np.asarray(small, dtype=np.float32)
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    tiny = np.asarray(small.resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    frequencies = dctn(tiny, norm="ortho")[:_HASH_SIDE, :_HASH_SIDE].ravel()
    bits = frequencies > np.median(frequencies[1:])  # the constant term says brightness, not content
    return {
        "brightness": round(float(luma.mean()), 4),
        "contrast": round(float(luma.std()), 4),
        "sharpness": round(float(laplacian.var()), 4),
        "perceptual_hash": np.packbits(bits).tobytes().hex(),
    }


def _captured_at(image: Image.Image) -> datetime | None:
    written, offset = (
        str(_exif(image, tag, ExifTags.IFD.Exif)).strip("\x00 ")
        for tag in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal)
    )
    for text, pattern in ((f"{written} {offset}", "%Y:%m:%d %H:%M:%S %z"), (written, "%Y:%m:%d %H:%M:%S")):
        with contextlib.suppress(ValueError, OverflowError):
            parsed = datetime.strptime(text, pattern)
            return parsed.replace(tzinfo=parsed.tzinfo or UTC).astimezone(UTC)
    return None
