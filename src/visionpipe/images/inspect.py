"""Look at one photo, once: decode it fully, measure it, fingerprint it, and take out what is nobody's business.

Whatever the bytes, `inspect_photo` returns: the bytes to store and an `Inspection` for a photo that can be used, a
`Refusal` with a reason code for one that cannot.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from dataclasses import dataclass
from datetime import datetime

from PIL import Image

from visionpipe.errors import VisionpipeError
from visionpipe.images.containers import UnreadableContainerError
from visionpipe.images.decode import LUMA_SIDE_PX, decoding_bytes, luma, luma_square
from visionpipe.images.exif import captured_at, upright_turn
from visionpipe.images.faces import blur_faces
from visionpipe.images.measurements import measure
from visionpipe.images.metadata import strip_metadata
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.rules import judge

_FORMATS = {"MPO": "JPEG"}  # cameras append previews to a JPEG; Pillow then calls it by another name
_QUARTER_TURNS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}
_HEIF_BRANDS = {b"heic", b"heix", b"heif", b"hevc", b"mif1", b"msf1"}  # ISO/IEC 23008-12
_DECODING_SHARE = 0.75  # of a worker's memory; Python and its libraries take the rest
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")  # of memory: another one in every run


@dataclass(frozen=True)
class Inspection:
    """What one decoded photo looks like.

    Attributes
    ----------
    image_id : str
        SHA-256 of the stored bytes, 64 hexadecimal digits.
    width, height : int
        Upright size, after the EXIF orientation [pixels].
    format, mode : str
        Pillow's names; MPO counts as JPEG.
    n_bytes : int
        Of the stored bytes.
    brightness, contrast, sharpness, entropy, perceptual_hash, thumbnail, descriptor
        See `measurements.Measurements`.
    captured_at : datetime or None
        From EXIF DateTimeOriginal and OffsetTimeOriginal [UTC]; taken as UTC where no offset is written.
    original_sha256 : str
        SHA-256 of the bytes as received.
    flags : tuple of str
        Codes of the rules that the photo breaks and that only flag.
    redactions : tuple of str
        What was removed: gps, owner, serial_number, thumbnail, faces:2 and so on; `not_redacted` for a container
        that cannot be written anew without encoding its pixels again.
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
    original_sha256: str
    mode: str
    entropy: float
    thumbnail: bytes
    descriptor: bytes
    flags: tuple[str, ...] = ()
    redactions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why a photo cannot be used: a reason code to count by, and the detail to act on."""

    reason: str
    detail: str
    sha256: str
    n_bytes: int


class _Refused(Exception):  # noqa: N818 - a verdict, not an error
    """Reason code and detail."""


def inspect_photo(data: bytes, parameters: IngestionParameters) -> tuple[bytes, Inspection | Refusal]:
    """Decode and measure one photo, and remove what the privacy parameters say.

    Parameters
    ----------
    data : bytes
        The file as it is; any bytes at all are allowed.
    parameters : IngestionParameters
        Accepted formats and sizes, rules, privacy.

    Returns
    -------
    stored : bytes
        What to store: the file without its metadata; b"" for a refusal.
    verdict : Inspection or Refusal
        The same in every run. Never raises for bad bytes.

    Raises
    ------
    VisionpipeError
        When faces are to be blurred and the `privacy` extra is missing; `faces.require_blurring` says so earlier.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bomb is judged by our own limit, EXIF noise is no fault
            return _inspect(data, sha256, parameters)
    except _Refused as refused:
        reason, detail = refused.args
    except VisionpipeError:  # the set-up is wrong, not the photo
        raise
    except UnreadableContainerError as error:
        detail = f"{error}; its metadata cannot be removed (ingestion.privacy.strip_metadata)"
        reason = "metadata"
    except Image.DecompressionBombError as error:  # Pillow's own limit, met before the size can be read
        reason, detail = "too_many_pixels", str(error)
    except Image.UnidentifiedImageError:
        reason, detail = "undecodable", _unknown_format(data)
    except MemoryError:
        reason, detail = "too_many_pixels", "decoding needs more memory than there is"
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on hostile bytes
        reason, detail = "undecodable", _ADDRESS.sub("0x", f"{type(error).__name__}: {error}")[:300]
    return b"", Refusal(reason=reason, detail=detail, sha256=sha256, n_bytes=len(data))


def _unknown_format(data: bytes) -> str:
    """Say what a file is that no decoder knows, where phones and cameras make many of them."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "HEIC, which is not read here; convert it to JPEG"
    return "no known image format"


def _inspect(data: bytes, sha256: str, parameters: IngestionParameters) -> tuple[bytes, Inspection]:
    if not data:
        raise _Refused("empty", "the file has no bytes")
    if len(data) > parameters.max_bytes:
        raise _Refused(
            "too_large", f"{len(data)} bytes, at most {parameters.max_bytes} (ingestion.max_bytes)"
        )
    with Image.open(io.BytesIO(data)) as image:
        file_format = _FORMATS.get(str(image.format), str(image.format))
        width, height, mode = image.width, image.height, image.mode
        flags = _judge_header(image, file_format, parameters)
        privacy = parameters.privacy
        # a JPEG's coefficients are all decoded, but only as many pixels as the statistics need
        image.draft("L", (LUMA_SIDE_PX, LUMA_SIDE_PX))
        image.load()
        turn, captured = upright_turn(image), captured_at(image)
        stored, redactions = strip_metadata(data, image) if privacy.strip_metadata else (data, ())
        if privacy.blur_faces and (blurred := blur_faces(stored)):
            stored, n_faces = blurred
            redactions = (f"faces:{n_faces}" if n_faces else "animation", *redactions)
            with Image.open(io.BytesIO(stored)) as image_without_faces:
                image_without_faces.load()
                grey = luma(image_without_faces)
        else:
            grey = luma(image)
        measured = measure(luma_square(grey, width, height), turn)
    poor, refusal = judge(measured, width, height, parameters.rules)
    if refusal:
        raise _Refused(*refusal)
    if turn in _QUARTER_TURNS:
        width, height = height, width
    return stored, Inspection(
        image_id=sha256 if stored is data else hashlib.sha256(stored).hexdigest(),
        original_sha256=sha256,
        width=width,
        height=height,
        format=file_format,
        mode=mode,
        n_bytes=len(stored),
        captured_at=captured,
        brightness=measured.brightness,
        contrast=measured.contrast,
        sharpness=measured.sharpness,
        entropy=measured.entropy,
        perceptual_hash=measured.perceptual_hash,
        thumbnail=measured.thumbnail,
        descriptor=measured.descriptor,
        flags=flags + poor,
        redactions=redactions,
    )


def _judge_header(image: Image.Image, file_format: str, parameters: IngestionParameters) -> tuple[str, ...]:
    """Judge what can be known before a pixel is decoded."""
    width, height = image.size
    if file_format not in parameters.formats:
        accepted = ", ".join(parameters.formats)
        raise _Refused("format", f"{file_format} is not one of {accepted} (ingestion.formats)")
    if width * height > parameters.max_pixels:
        raise _Refused(
            "too_many_pixels",
            f"{width} x {height} px, at most {parameters.max_pixels} (ingestion.max_pixels)",
        )
    needed_mb = decoding_bytes(file_format, image.mode, width, height) / 2**20
    if needed_mb > _DECODING_SHARE * parameters.worker_memory_mb:
        raise _Refused(
            "too_many_pixels",
            f"{width} x {height} px of {image.mode} need {needed_mb:.0f} MiB to decode, at most "
            f"{_DECODING_SHARE:.0%} of {parameters.worker_memory_mb} (ingestion.worker_memory_mb)",
        )
    action = parameters.rules.too_small.action
    if min(width, height) >= parameters.min_side_px or action == "ignore":
        return ()
    if action == "flag":
        return ("too_small",)
    raise _Refused(
        "too_small",
        f"{min(width, height)} px on the shorter side, {parameters.min_side_px} needed (ingestion.min_side_px)",
    )
