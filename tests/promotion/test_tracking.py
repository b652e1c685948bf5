"""MLflow is where the user says it is, and when it is not there that takes one line and a few seconds."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from base64 import b64encode
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest

from mlflow_store import clean_environment, empty_database, free_port, new_store
from moody_server import moody_server
from visionpipe.errors import VisionpipeError
from visionpipe.promotion.tracking import TrackingParameters, connect

SECRET = "s3cr3t-Pa55"


@pytest.fixture(autouse=True)
def no_store(monkeypatch, tmp_path):
    clean_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "a plant"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_database())
    return folder


def experiments(database):
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("select name, artifact_location from experiments"))


class TestStore:
    def test_a_relative_sqlite_path_starts_at_the_project(self, project, tmp_path):
        uri = connect(project, TrackingParameters())
        assert uri == f"sqlite:///{project}/mlflow.db"
        assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == uri
        assert "visionpipe" in experiments(project / "mlflow.db")
        assert [path.name for path in tmp_path.iterdir()] == ["a plant"]

    def test_an_absolute_one_stays(self, project, tmp_path):
        elsewhere = tmp_path / "elsewhere.db"
        elsewhere.write_bytes(empty_database())
        assert (
            connect(project, TrackingParameters(tracking_uri=f"sqlite:///{elsewhere}"))
            == f"sqlite:///{elsewhere}"
        )

    def test_a_store_that_is_not_there_is_made(self, tmp_path):
        connect(tmp_path, TrackingParameters(tracking_uri="sqlite:///new folder/runs.db"))
        assert "visionpipe" in experiments(tmp_path / "new folder/runs.db")

    def test_artifacts_lie_in_the_project(self, project):
        connect(project, TrackingParameters(artifact_location="my artifacts"))
        with mlflow.start_run():
            mlflow.log_text("hello", "greeting.txt")
        found = list((project / "my artifacts").rglob("greeting.txt"))
        assert [path.read_text() for path in found] == ["hello"]

    @pytest.mark.parametrize(
        "kind", ["sqlite", "sqlite+pysqlite"]
    )  # the latter as any database but the local file
    @pytest.mark.parametrize("location", ["my artifacts", "/srv/artifacts", "s3://plant/models"])
    def test_a_database_has_its_artifacts_where_the_configuration_says(
        self, kind, location, project, tmp_path
    ):
        (tmp_path / "shared.db").write_bytes(empty_database())
        uri = f"{kind}:///{tmp_path}/shared.db"
        connect(project, TrackingParameters(tracking_uri=uri, artifact_location=location))
        folders = {
            "my artifacts": project.as_uri() + "/my%20artifacts",
            "/srv/artifacts": "file:///srv/artifacts",
        }
        assert experiments(tmp_path / "shared.db")["visionpipe"] == folders.get(location, location)
        assert not (tmp_path / "mlruns").exists()

    def test_the_environment_wins(self, project, tmp_path, monkeypatch):
        other = tmp_path / "other.db"
        other.write_bytes(empty_database())
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
        connect(project, TrackingParameters())
        assert "visionpipe" in experiments(other)
        assert "visionpipe" not in experiments(project / "mlflow.db")

    def test_two_projects_in_one_process_keep_apart(self, tmp_path):
        """MLflow writes the first store into the environment, where it would win over the second project's."""
        for name in ("first", "second"):
            assert new_store(tmp_path / name) == f"sqlite:///{tmp_path / name}/mlflow.db"
            assert "visionpipe" in experiments(tmp_path / name / "mlflow.db")

    @pytest.mark.parametrize("chosen", [None, "sqlite:///mlflow.db"])
    def test_the_users_environment_is_left_alone(self, project, monkeypatch, chosen):
        if chosen:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", chosen)
        before = dict(os.environ)
        connect(project, TrackingParameters())
        assert dict(os.environ) == before

    def test_connecting_again_changes_nothing(self, project):
        for _ in range(2):
            connect(project, TrackingParameters(experiment="plant 3"))
        assert sorted(experiments(project / "mlflow.db")) == ["Default", "plant 3"]

    def test_an_experiment_that_another_process_makes_meanwhile_is_used(self, project, monkeypatch):
        connect(project, TrackingParameters())
        monkeypatch.setattr(mlflow, "get_experiment_by_name", lambda name: None)  # as it was a moment ago
        connect(project, TrackingParameters())
        with mlflow.start_run() as run:
            assert mlflow.get_experiment(run.info.experiment_id).name == "visionpipe"


@pytest.fixture
def silent_port():
    """A server that accepts every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing_port():
    """A web server that answers 401 to everything, and quotes the address it was asked at."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuse)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(uri, project, **settings):
    """Connect in vain: return the one line, having seen that it came soon and that nothing was made."""
    before = sorted(project.rglob("*"))
    started = time.monotonic()
    with pytest.raises(VisionpipeError) as refused:
        connect(project, TrackingParameters(tracking_uri=uri, timeout_s=1.0, **settings))
    assert time.monotonic() - started < 8
    assert sorted(project.rglob("*")) == before
    message = str(refused.value)
    assert "\n" not in message
    assert SECRET not in message
    assert "joe" not in message
    return message


class TestNobodyThere:
    @pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
    def test_a_closed_port(self, scheme, tmp_path):
        port = free_port()
        message = refusal(f"{scheme}://joe:{SECRET}@127.0.0.1:{port}/mlflow", tmp_path)
        assert message.startswith(
            f"the tracking server {scheme}://***@127.0.0.1:{port}/mlflow does not answer"
        )
        assert "start it, or unset MLFLOW_TRACKING_URI" in message

    def test_a_server_that_accepts_and_never_replies(self, silent_port, tmp_path):
        message = refusal(f"http://joe:{SECRET}@127.0.0.1:{silent_port}", tmp_path)
        assert f"http://***@127.0.0.1:{silent_port} does not answer (TimeoutError)" in message

    def test_from_the_environment_too(self, silent_port, tmp_path, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://joe:{SECRET}@127.0.0.1:{silent_port}")
        assert "does not answer" in refusal("sqlite:///mlflow.db", tmp_path)

    def test_a_server_that_refuses_is_told_from_one_that_is_silent(self, refusing_port, tmp_path):
        message = refusal(f"http://joe:{SECRET}@127.0.0.1:{refusing_port}", tmp_path)
        assert "answers 401 to /health; check its address and your credentials" in message

    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            ({"TOKEN": SECRET}, f"Bearer {SECRET}"),
            (
                {"USERNAME": "joe", "PASSWORD": SECRET},
                "Basic " + b64encode(f"joe:{SECRET}".encode()).decode(),
            ),
        ],
    )
    def test_it_is_asked_with_the_credentials_that_mlflow_will_use(
        self, given, wanted, tmp_path, monkeypatch
    ):
        with moody_server() as server:
            uri, server.wanted = f"http://127.0.0.1:{server.port}", wanted
            assert "answers 401 to /health" in refusal(uri, tmp_path)
            for name, value in given.items():
                monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
            assert connect(tmp_path, TrackingParameters(tracking_uri=uri)) == uri

    def test_credentials_that_contradict_each_other_are_no_silent_server(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "/etc/plant.pem")
        message = refusal(f"https://joe:{SECRET}@127.0.0.1:{free_port()}", tmp_path)
        assert message.startswith("MLflow at https://***@127.0.0.1")
        assert "server_cert_path" in message

    @pytest.mark.parametrize("status", [500, 503])
    def test_one_that_is_not_well_is_asked_once(self, status, tmp_path):
        with moody_server() as server:
            server.status = {"/health": status}
            assert f"answers {status} to /health" in refusal(server.uri, tmp_path)

    @pytest.mark.parametrize("uri", [f"http://joe:{SECRET}@[bad/", f"http://joe:{SECRET}@", "http://"])
    def test_an_address_that_is_none(self, uri, tmp_path):
        assert "does not answer" in refusal(uri, tmp_path)


class TestUnusable:
    @pytest.mark.parametrize("character", ["", *"/#?:%"])
    def test_a_database_without_its_driver(self, character, silent_port, tmp_path):
        """Its address is read as SQLAlchemy reads it, whatever is in the password."""
        uri = f"mssql+pymssql://joe:7{character}{SECRET}@127.0.0.1:{silent_port}/mlflow"
        assert "No module named 'pymssql'" in refusal(uri, tmp_path)

    def test_a_password_that_mlflow_itself_cannot_read(self, silent_port, tmp_path):
        uri = f"mssql+pymssql://joe:[{SECRET}@127.0.0.1:{silent_port}/mlflow"
        assert "Invalid IPv6 URL" in refusal(uri, tmp_path)

    def test_a_kind_of_store_that_mlflow_has_not(self, tmp_path):
        message = refusal(f"carrier-pigeon://joe:{SECRET}@loft/7", tmp_path)
        assert message.startswith("MLflow at carrier-pigeon://***@loft/7: ")

    def test_a_path_that_lacks_a_slash(self, tmp_path):
        assert "Invalid SQLite URL: sqlite://mlflow.db" in refusal("sqlite://mlflow.db", tmp_path)

    def test_a_folder_as_store(self, tmp_path):
        assert "sqlite:///mlflow.db" in refusal("./mlruns", tmp_path)  # what to use instead

    def test_a_file_that_is_no_database(self, tmp_path):
        (tmp_path / "mlflow.db").write_bytes(b"no database at all, but long enough to be looked at" * 20)
        assert "mlflow.db: file is not a database" in refusal("sqlite:///mlflow.db", tmp_path)

    def test_one_that_another_program_has_locked(self, project):
        with closing(sqlite3.connect(project / "mlflow.db", isolation_level=None)) as other:
            other.execute("begin exclusive")
            message = refusal("sqlite:///mlflow.db", project)
        assert message.endswith("mlflow.db: database is locked; wait for the other program that uses it")

    def test_a_folder_in_its_place(self, tmp_path):
        (tmp_path / "mlflow.db").mkdir()
        assert "mlflow.db: unable to open database file" in refusal("sqlite:///mlflow.db", tmp_path)

    def test_a_place_where_nothing_can_be_written(self, tmp_path):
        assert "/proc/visionpipe" in refusal("sqlite:////proc/visionpipe/mlflow.db", tmp_path)

    def test_a_deleted_experiment(self, project):
        connect(project, TrackingParameters(experiment="old"))
        mlflow.delete_experiment(mlflow.get_experiment_by_name("old").experiment_id)
        assert "old" in refusal("sqlite:///mlflow.db", project, experiment="old")


def test_relative_paths_do_not_depend_on_where_one_stands(project, monkeypatch):
    monkeypatch.chdir("/")
    assert connect(project, TrackingParameters()) == f"sqlite:///{project}/mlflow.db"
    assert not Path("/mlflow.db").exists()
