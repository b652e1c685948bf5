"""The log of a run says what it was told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from project_copy import ROOT

CODE = (
    "import logging, logging.config, pathlib, sys, yaml; "
    "logging.config.dictConfig(yaml.safe_load(pathlib.Path('conf/logging.yml').read_text())); "
    "logging.getLogger('visionpipe.images').warning('label %s', sys.argv[1])"
)


@pytest.mark.parametrize("label", ["bad [old]", "bad [/old]", "[bold]crack[/bold]", ":smile:"])
def test_a_name_from_the_data_is_no_markup(label):
    command = [sys.executable, "-c", CODE, label]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert f"WARNING  label {label}" in done.stdout
