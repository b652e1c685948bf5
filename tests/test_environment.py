"""What importing visionpipe sets for the libraries that it drives, and leaves alone where the user has spoken."""

import json
import os
import subprocess
import sys

import pytest

_TELEMETRY = {
    "DO_NOT_TRACK": "true",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
}


def after_import(*names, **users):
    """Return these variables as they are when visionpipe has been imported where the user had set `users`."""
    others = {name: value for name, value in os.environ.items() if name not in names}
    show = f"import json, os, visionpipe; print(json.dumps([os.environ.get(name) for name in {names}]))"
    printed = subprocess.run(
        [sys.executable, "-c", show], env=others | users, capture_output=True, check=True, text=True
    )
    return json.loads(printed.stdout)


@pytest.mark.parametrize(
    ("users", "wanted"),
    [
        ({}, ["PASSIVE", "1000"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None]),
        ({"GOMP_SPINCOUNT": "7"}, ["PASSIVE", "7"]),
    ],
)
def test_threads_spin_shortly_unless_the_user_says_how_they_wait(users, wanted):
    assert after_import("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", **users) == wanted


def test_all_telemetry_is_off_unless_the_user_wants_it():
    assert dict(zip(_TELEMETRY, after_import(*_TELEMETRY), strict=True)) == _TELEMETRY
    users = dict.fromkeys(_TELEMETRY, "as I say")
    assert after_import(*_TELEMETRY, **users) == list(users.values())
