"""A worker keeps the memory of one photo for the next."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

PAGE_FAULTS = """
import resource, sys
from photo_files import encode, picture
from visionpipe.images.allocator import keep_freed_memory
from visionpipe.images.inspect import inspect_photo
from visionpipe.images.parameters import IngestionParameters
if sys.argv[1] == "keep":
    assert keep_freed_memory()
photo, parameters = encode(picture(1, 400, 533), "JPEG"), IngestionParameters()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        inspect_photo(photo, parameters)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc maps every large array anew")
def test_memory_of_one_photo_is_kept_for_the_next():
    kept, usual = (
        int(
            subprocess.run(
                [sys.executable, "-c", PAGE_FAULTS, how], cwd=TESTS, capture_output=True, check=True
            ).stdout
        )
        for how in ("keep", "as usual")
    )
    assert kept < 100 < usual / 10  # in 100 photos
