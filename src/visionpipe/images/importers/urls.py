"""fsspec's file systems behind URLs, and what may be told of them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from visionpipe.errors import VisionpipeError, first_line

_CHANGE_MARKS = (
    *("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "generation", "VersionId"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "modified", "mtime", "created"),
)


def filesystem(url: str, storage_options: dict[str, Any]) -> tuple[Any, str]:
    """Return fsspec's file system for a URL and the path in it.

    Raises
    ------
    VisionpipeError
        Naming the package to install, or what is wrong with the URL.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = url.split("://")[0].rpartition("::")[2]
    try:
        return url_to_fs(url, **storage_options)
    except ImportError as error:
        known = known_implementations.get(protocol, {})
        package = known.get("class", "").split(".")[0]
        wanted = "aiohttp requests" if package == "fsspec" and protocol.startswith("http") else package
        raise VisionpipeError(
            f"{shown(url)}: the package that reads {protocol}:// is not installed: `pip install {wanted or protocol}`"
        ) from error
    except Exception as error:
        raise VisionpipeError(f"{shown(url)}: {describe(error)}") from error


def version_number(info: dict[str, Any]) -> int:
    """Turn what a backend tells of a file into an int that changes when its bytes do [0, 2**63).

    >>> version_number({"ETag": "a"}) == version_number({"ETag": "a", "size": 3})
    True
    >>> version_number({"ETag": "a"}) == version_number({"ETag": "b"}), version_number({})
    (False, 0)
    """
    marks = [f"{key}={info[key]}" for key in _CHANGE_MARKS if info.get(key) is not None]
    if not marks:
        return 0
    return int.from_bytes(hashlib.blake2b("\n".join(marks).encode(), digest_size=8).digest()) >> 1


def describe(error: BaseException) -> str:
    """Return the kind and first line of an error, without the secrets that URLs carry."""
    return f"{type(error).__name__}: {shown(first_line(error))}"


def shown(text: str) -> str:
    """Leave out users, passwords and queries of URLs.

    >>> shown("ftp://me:secret@host/a?token=1 is gone")
    'ftp://host/a is gone'
    """
    return re.sub(r"(\w://[^\s?]*)\?[^\s'\"]*", r"\1", re.sub(r"(\w://)[^/\s@]*@", r"\1", text))
