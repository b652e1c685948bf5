"""The one exception that users are meant to read, and how it quotes others."""


class VisionpipeError(Exception):
    """Something the user can mend: its text names the thing, what is wrong with it and what to do.

    The command line prints it as one line and exits with status 1; nothing else is printed.
    """


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's text, or its kind if it has none.

    Examples
    --------
    >>> first_line(ValueError("no such column\nTraceback ...")), first_line(MemoryError())
    ('no such column', 'MemoryError')
    """
    return (str(error).splitlines() or [""])[0] or type(error).__name__
