"""The one exception that users are meant to read."""


class VisionpipeError(Exception):
    """Something the user can mend: its text names the thing, what is wrong with it and what to do.

    The command line prints it as one line and exits with status 1; nothing else is printed.
    """
