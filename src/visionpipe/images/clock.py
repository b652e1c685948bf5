"""How far the clocks of those who send us something may run ahead of ours."""

from datetime import timedelta

CLOCK_TOLERANCE = timedelta(minutes=5)
"""A time that lies further ahead is wrong, and is refused."""
