"""Keys and tokens go to the web server that they are for, whatever a row or a redirect names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from photo_files import encode, picture

OPTIONS = {
    "headers": {"Authorization": "Bearer SECRET", "X-Api-Key": "SECRET"},
    "params": {"sig": "SECRET"},
    "client_kwargs": {"headers": {"X-Team": "SECRET"}, "cookies": {"session": "SECRET"}},
}
PHOTO = encode(picture(1, 40, 40), "PNG")


class Server:
    """A web server of a few answers (bytes, or a URL to go on to) that keeps what it was told."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | str] = {}
        self.asked: list[str] = []
        server = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(f"{self.command} {self.path}\n{self.headers}")
                answer = server.answers.get(self.path.split("?")[0])
                body = answer if isinstance(answer, bytes) else b""
                self.send_response(404 if answer is None else 200 if isinstance(answer, bytes) else 302)
                if isinstance(answer, str):
                    self.send_header("Location", answer)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """Give two servers on ports of their own."""
    pair = Server(), Server()
    yield pair
    for each in pair:
        each.http.shutdown()
        each.http.server_close()


@pytest.fixture
def listed(imported, tmp_path):
    """Import rows that name images on a server that asks for secrets."""

    def read(home: Server, *names: str):
        (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{name},cat\n" for name in names))
        columns = {"table": tmp_path / "t.csv", "path_column": "image", "label_column": "label"}
        return imported("table", f"{home.url}/photos", storage_options=OPTIONS, **columns)

    return read


def test_secrets_go_to_the_server_of_the_source(servers, listed):
    home, _ = servers
    home.answers = {"/photos/1.png": PHOTO}
    [photo] = listed(home, "1.png")
    assert photo.read() == PHOTO
    assert len(home.asked) >= 2
    assert {request.count("SECRET") for request in home.asked} == {5}


def test_a_server_that_a_row_names_is_told_no_secret(servers, listed):
    home, other = servers
    other.answers = {"/1.png": PHOTO}
    [photo] = listed(home, f"{other.url}/1.png")
    assert photo.read() == PHOTO
    assert len(other.asked) >= 2
    assert "SECRET" not in "".join(other.asked)


def test_a_server_that_a_redirect_names_is_told_no_secret(servers, listed):
    home, other = servers
    home.answers, other.answers = {"/photos/1.png": f"{other.url}/2.png"}, {"/2.png": PHOTO}
    [photo] = listed(home, "1.png")
    assert photo.read() == PHOTO
    with photo.read.stream() as file:
        assert file.read() == PHOTO
    assert len(other.asked) >= 3
    assert "SECRET" not in "".join(other.asked)


def test_a_document_is_read_across_a_redirect_without_secrets(servers, imported):
    home, other = servers
    home.answers, other.answers = {"/p/t.csv": f"{other.url}/t.csv"}, {"/t.csv": b"image,label\n"}
    columns = {"table": "t.csv", "path_column": "image", "label_column": "label"}
    assert imported("table", f"{home.url}/p", storage_options=OPTIONS, **columns) == []
    assert other.asked
    assert "SECRET" not in "".join(other.asked)


@pytest.mark.parametrize("name", ["http://[bad", "http://host:port/2.png"])
def test_a_row_with_no_url_costs_its_own_image(name, servers, listed, said):
    home, _ = servers
    home.answers = {"/photos/1.png": PHOTO}
    assert sorted(said(listed(home, name, "1.png")).values()) == [["! no_image"], ["table: cat"]]
