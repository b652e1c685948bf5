"""fsspec's file systems behind URLs, and what may be told of them."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from visionpipe.errors import VisionpipeError, first_line, redacted

_CHANGE_MARKS = (
    *("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "generation", "VersionId"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "modified", "mtime", "created"),
)
_NO_SECRETS = frozenset({"host", "accept", "accept-encoding", "connection", "range", "user-agent"})
"""Headers that any host may see; all others may hold a key."""
_SIGNS = re.compile(
    r"x-(?:amz|goog|oss)-.*|signature|expires"  # Amazon's, Google's and Alibaba's, and CloudFront's below
    r"|(?:aws|oss)accesskeyid|googleaccessid|policy|key-pair-id"
    r"|sig|s[eprstv]|sip|spr|srt|ses|sdd|scid|sk[estv]|s[aku]oid|sktid",  # Azure's
    re.IGNORECASE,
)
"""Parameters of a query that sign a URL, and change whenever it is signed anew."""


def filesystem(url: str, storage_options: dict[str, Any]) -> tuple[Any, str]:
    """Return fsspec's file system for a URL and the path in it; headers of `storage_options` stay with its host.

    Raises
    ------
    VisionpipeError
        Naming the package to install, or what is wrong with the URL.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = url.split("://")[0].rpartition("::")[2]
    try:
        return url_to_fs(url, **_kept_at_home(url, storage_options))
    except ImportError as error:
        known = known_implementations.get(protocol, {})
        package = known.get("class", "").split(".")[0]
        wanted = "aiohttp requests" if package == "fsspec" and protocol.startswith("http") else package
        raise VisionpipeError(
            f"{shown(url)}: the package that reads {protocol}:// is not installed: `pip install {wanted or protocol}`"
        ) from error
    except Exception as error:
        raise VisionpipeError(f"{shown(url)}: {describe(error)}") from error


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return the scheme, host and port that a URL leads to: who is told of keys and tokens.

    Raises
    ------
    ValueError
        When the text is no URL.

    Examples
    --------
    >>> origin("https://me:secret@Example.com/a") == origin("https://example.com:443/b")
    True
    """
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


@dataclass(frozen=True)
class _OnlyAt:
    """Middleware of aiohttp: a request that leads to another origin, as a redirect may, goes without secrets.

    aiohttp itself leaves out `Authorization` then, and sends on an API key in a header of another name. A
    dataclass, because fsspec tells connections apart by the repr of what they were opened with.
    """

    origin: tuple[str, str | None, int | None]

    async def __call__(self, request: Any, send: Callable[[Any], Awaitable[Any]]) -> Any:
        if origin(str(request.url)) != self.origin:
            for name in {name for name in request.headers if name.lower() not in _NO_SECRETS}:
                request.headers.popall(name, None)
        return await send(request)


def _kept_at_home(url: str, storage_options: dict[str, Any]) -> dict[str, Any]:
    if not storage_options or not url.startswith(("http://", "https://")):
        return storage_options
    client = dict(storage_options.get("client_kwargs") or {})
    client["middlewares"] = (*client.get("middlewares", ()), _OnlyAt(origin(url)))
    return {**storage_options, "client_kwargs": client}


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


def without_secrets(error: OSError) -> OSError:
    """Return a built-in OSError of the same kind and number, with a text that has no secrets of URLs in it.

    >>> without_secrets(FileNotFoundError("https://me:secret@host/a?token=1"))
    FileNotFoundError('https://host/a')
    """
    kind = next(each for each in type(error).__mro__ if each.__module__ == "builtins")
    text = shown(error.strerror or first_line(error))
    if kind is not type(error):  # a backend's own, which not every process could take in
        text = f"{type(error).__name__}: {text}"
    return kind(text) if error.errno is None else kind(error.errno, text)


def shown(text: str) -> str:
    """Leave out users, passwords and queries of URLs.

    >>> shown("ftp://me:secret@host/a?token=1 is gone"), shown("https://me:sec@ret@host/a@2x.png")
    ('ftp://host/a is gone', 'https://host/a@2x.png')
    """
    text = re.sub(r"(\w://)[^/\s]*@", r"\1", text)  # up to the last @, as URLs are parsed
    return re.sub(r"(\w://[^\s?]*)(?:\?[^\s'\"]*)?", r"\1", text)


def names_of(references: Iterable[str]) -> dict[str, str]:
    """Name URLs, whole or relative to another, without users, passwords and queries; a new signature is no new name.

    Returns
    -------
    dict
        Reference -> its name. Where several would be named alike, each has a hash in its name: of what its query says
        beside a signature, or where that is the same (or the signature is of an unknown kind), of all of it.

    Examples
    --------
    >>> list(names_of(["https://me:secret@host/1.png?sig=a", "1.png?sig=a", "2.png"]).values())
    ['https://host/1.png', '1.png', '2.png']
    >>> list(names_of(["photo?id=1&sig=a", "photo?id=2&sig=b"]).values())
    ['photo#80feedac078f19ff665d11ec2efa9c35', 'photo#41c5ed645f48e649f75b115d4476d883']
    >>> names = names_of(["photo?id=1&sig=a", "photo?id=1&sig=b"])
    >>> len(set(names.values()))
    2
    """
    plain = {each: re.sub("^//.*@", "//", shown(each).partition("?")[0]) for each in references}
    unsigned = {each: f"{name}?{_unsigned(each.partition('?')[2])}" for each, name in plain.items()}
    names = plain
    for told_apart_by in (unsigned, {each: each for each in plain}):
        alike = Counter(names.values())
        names = {
            each: name if alike[name] == 1 else f"{plain[each]}#{_hash(told_apart_by[each])}"
            for each, name in names.items()
        }
    return names


def _unsigned(query: str) -> str:
    """Leave out of a query what signs it, and blank what else is secret (`errors.redacted`).

    >>> _unsigned("id=1&X-Amz-Date=20260105T000000Z&X-Amz-Signature=ab&token=cd"), _unsigned("id=1&sig=a%3D&se=b")
    ('id=1&token=***', 'id=1')
    """
    parts = re.split("[&;]", query)
    return redacted("&".join(part for part in parts if not _SIGNS.fullmatch(part.partition("=")[0])))


def _hash(text: str) -> str:
    # 128 bits: of 32, a million references would find some hundred twice, and two photos would be one
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
