"""What importing visionpipe sets for the libraries that it drives, and leaves alone where the user has spoken."""

import os
import subprocess
import sys

import pytest

_SHOW = "import os, visionpipe; print([os.environ.get(n) for n in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')])"


@pytest.mark.parametrize(
    ("users", "wanted"),
    [
        ({}, ["PASSIVE", "1000"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None]),
        ({"GOMP_SPINCOUNT": "7"}, ["PASSIVE", "7"]),
    ],
)
def test_threads_spin_shortly_unless_the_user_says_how_they_wait(users, wanted):
    others = {
        name: value for name, value in os.environ.items() if name not in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    }
    printed = subprocess.run(
        [sys.executable, "-c", _SHOW], env=others | users, capture_output=True, check=True, text=True
    )
    assert printed.stdout.strip() == str(wanted)
