"""Templates to one self-contained page: escaping always on, pictures and links made safe to embed."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from visionpipe.errors import VisionpipeError
from visionpipe.reports import findings, wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

_PICTURE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}


def picture_uri(thumbnail: bytes | None) -> str | None:
    """Return JPEG, PNG, GIF or WebP bytes as a data URI; None for anything else."""
    if not thumbnail:
        return None
    content = bytes(thumbnail)
    media_type = next((kind for magic, kind in _PICTURE_TYPES.items() if content.startswith(magic)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        media_type = "image/webp"
    return media_type and f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def relative_href(path: str | None) -> str | None:
    """Return a quoted link for a path beside the page; None for a URL, a `javascript:` or an absolute path.

    >>> relative_href("drift/evidently report.html"), relative_href("javascript:alert(1)")
    ('drift/evidently%20report.html', None)
    """
    if not path:
        return None
    try:
        parts = urlsplit(path)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or path.startswith(("/", "\\")):
        return None
    return quote(path, safe="/._-~", errors="replace")


def photo_name(image_id: object, path: object = None) -> str:
    """Return the name by which every page calls a photo: its file's, else the start of its id.

    A photo that came with a review is filed under its id, the reviewer and the time: that is no name.

    >>> photo_name("ab" * 32, "photos/cell 7.png"), photo_name("ab" * 32, "ab" * 32 + "/ann/2026-04-01T00:00")
    ('cell 7.png', 'abababababab')
    """
    if not isinstance(path, str) or str(image_id) in path:
        return str(image_id)[:12]
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or str(image_id)[:12]


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name in a template is an error, not an empty cell
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = (
        wording.number,
        wording.interval,
        wording.p_value,
        wording.percent,
        wording.fact,
        wording.minute,
        wording.duration,
    )
    templates.filters.update({function.__name__: function for function in written})
    templates.filters.update(
        title_of=wording.title_of,
        mid_sentence=wording.mid_sentence,
        meaning_of=wording.meaning_of,
        level=wording.level,
        slices_lowest_first=findings.slices_lowest_first,
        class_names=findings.class_names,
        picture_uri=picture_uri,
        relative_href=relative_href,
        photo_name=photo_name,
        counted=wording.counted,
        images_needed=wording.images_needed,
    )
    templates.tests["written_number"] = wording.is_number
    return templates


def require(given: Mapping[str, Any], what: str, *keys: str) -> None:
    """Raise `VisionpipeError` when what a page is made from lacks a key."""
    if missing := [key for key in keys if key not in given]:
        raise VisionpipeError(f"{what}: {', '.join(missing)} missing; the page cannot be written without")


def render(template: str, **values: Any) -> str:
    """Return a page; undecodable bytes of a file name become "?", so that it is always valid UTF-8."""
    html = _environment().get_template(template).render(**values)
    return html.encode("utf-8", "replace").decode("utf-8")
