"""The one exception that users are meant to read, and how it quotes others."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from difflib import get_close_matches

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What the operating system says of a disk without room."""
_SECRET = re.compile(
    r"([?&][\w.-]{0,64}(?:password|passwd|pwd|token|secret|api_?key)=)[^&\s]*"
    r"|((?:password|passwd|pwd|token|secret|api_?key)(?:=|%3d))"
    r"(?:\{(?:[^}]|\}\}){0,256}\}|%7b(?:(?!%7d).|%7d%7d){0,256}%7d|.*?)(?=[&;\s]|%3b|$)",
    re.IGNORECASE,
)
"""In a query its value ends at &; in ODBC's words at ; also percent-encoded, and in braces it may hold that itself.

Nobody's password is longer than 256 characters, and without an end each brace would be followed to the end of the text.
"""
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LISTED = 30  # names, of which a reader still finds the right one


class VisionpipeError(Exception):
    """Something the user can mend: its text names the thing, what is wrong with it and what to do.

    The command line prints it as one line and exits with status 1; nothing else is printed.
    """


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's text without passwords (`redacted`), or its kind if it has none.

    Examples
    --------
    >>> first_line(ValueError("no such column\nTraceback ...")), first_line(MemoryError())
    ('no such column', 'MemoryError')
    >>> first_line(OSError("API request to http://joe:secret@host/api failed"))
    'API request to http://***@host/api failed'
    """
    return redacted((str(error).splitlines() or [""])[0]) or type(error).__name__


def last_line(error: BaseException) -> str:
    r"""Return the last line of an error's text without passwords: the cause, where several files failed.

    Examples
    --------
    >>> last_line(OSError("The following failures occurred:\n[Errno 28] No space left on device\n"))
    '[Errno 28] No space left on device'
    """
    return redacted((str(error).strip().splitlines() or [""])[-1]) or type(error).__name__


def redacted(text: str) -> str:
    """Return a URI, or a text with URIs in it, without users and passwords: fit for a log.

    Examples
    --------
    >>> redacted("postgresql://joe:secret@db/mlflow")
    'postgresql://***@db/mlflow'
    >>> redacted("postgresql://db/mlflow?user=joe&password=secret")
    'postgresql://db/mlflow?user=joe&password=***'
    >>> redacted("mssql+pyodbc:///?odbc_connect=UID%3Djoe%3BPWD%3Dsecret%3BSERVER%3Ddb")
    'mssql+pyodbc:///?odbc_connect=UID%3Djoe%3BPWD%3D***%3BSERVER%3Ddb'
    """
    return _SECRET.sub(r"\1\2***", "\n".join(map(_without_user, text.split("\n"))))


def _without_user(line: str) -> str:
    # up to the last @: a password may hold characters that end the host for urllib, and not for SQLAlchemy
    before, at, after = line.rpartition("@")
    if not at or not (found := re.search(r"(?<!sqlite)://", before)):
        return line
    return f"{before[: found.end()]}***@{after}"


def visible(text: str) -> str:
    r"""Return a name that others chose with escapes for what a terminal or a log would obey and not show.

    These are control characters, line breaks among them, and what turns the direction of text; joiners and soft
    hyphens, which words of several scripts and emoji are written with, stay.

    Examples
    --------
    >>> visible("cat\x1b[2J\n12:00 INFO"), visible("a\u202egnp.exe"), visible("हिन्\u200dदी") == "हिन्\u200dदी"
    ('cat\\x1b[2J\\n12:00 INFO', 'a\\u202egnp.exe', True)
    """
    return text if text.isprintable() else _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def meant(name: str, known: Collection[str], *, most: int = 1) -> str:
    """Return a hint for a mistyped name: what was probably meant, at `most` so many, or else all that is known.

    Examples
    --------
    >>> meant("defectiv", ["defective", "functional"]), meant("zebra", ["defective", "functional"])
    ("did you mean 'defective'?", 'known: defective, functional')
    """
    close = get_close_matches(name, known, n=most)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return (
        f"known: {', '.join(known)}"
        if len(known) <= _LISTED
        else f"none of {len(known):,} known names is like it"
    )
