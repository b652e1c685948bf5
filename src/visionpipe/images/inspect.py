"""Look at one photo, once: decode it fully, measure it, fingerprint it.

Whatever the bytes, `inspect_photo` returns: an `Inspection` for a photo that can be used, a `Refusal` with a
reason code for one that cannot.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from PIL import ExifTags, Image, ImageOps

from visionpipe.images.parameters import IngestionParameters

_THUMBNAIL_SIDE_PX = 256  # statistics are taken at this size: comparable between cameras, and cheap
_HASH_SIDE = 16  # 16 x 16 low frequencies -> 256 bits


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
        From EXIF DateTimeOriginal, taken as UTC where no offset is written.
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
                if image.format not in limits.formats:
                    return refuse("format", f"{image.format} is not one of {', '.join(limits.formats)}")
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
                upright = ImageOps.exif_transpose(image)
                return Inspection(
                    image_id=sha256,
                    width=upright.width,
                    height=upright.height,
                    format=str(image.format),
                    n_bytes=len(data),
                    captured_at=_captured_at(image),
                    **_statistics(upright),
                )
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            image.draft(
                "RGB", (side_px, side_px)
            )  # JPEG decodes at the nearest larger eighth: several times faster
            upright = ImageOps.exif_transpose(image)
            rgb = _to_8_bit(upright).convert("RGB")
            return np.asarray(rgb.resize((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0))


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
    details = image.getexif().get_ifd(ExifTags.IFD.Exif)
    written = details.get(ExifTags.Base.DateTimeOriginal)
    if not isinstance(written, str):
        return None
    try:
        return datetime.strptime(written.strip("\x00 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
