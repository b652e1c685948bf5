"""The environment of a run: versions as installed, and nothing that names a machine or a person."""

import getpass
import json
import socket
from importlib.metadata import version

from visionpipe.lineage.environment import describe_environment


def test_versions_are_those_that_are_installed():
    found = describe_environment()["versions"]
    assert {"visionpipe", "torch", "kedro", "mlflow", "dvc"} <= set(found)
    assert all(version(name) == stated for name, stated in found.items())


def test_the_system_is_described_without_naming_host_user_or_home():
    text = json.dumps(describe_environment())
    assert socket.gethostname() not in text
    assert "/home" not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text


def test_every_fact_of_the_system_is_stated():
    system = describe_environment()["system"]
    assert set(system) == {"operating_system", "python", "processor", "cores", "memory", "accelerator"}
    assert all(system.values())
