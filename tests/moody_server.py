"""An MLflow tracking server that goes away, or falters, when a test says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUN_ID = "a" * 32
_INFO = {"run_id": RUN_ID, "experiment_id": "0", "status": "RUNNING", "lifecycle_stage": "active"}
_ANSWERS: dict[str, Any] = {
    "/health": "OK",
    "experiments/": {"experiment": {"experiment_id": "0", "name": "visionpipe", "lifecycle_stage": "active"}},
    "runs/create": {"run": {"info": _INFO, "data": {}}},
    "runs/get": {"run": {"info": _INFO, "data": {}}},
    "runs/update": {"run_info": _INFO},
    "runs/log-batch": {},
    "runs/set-tag": {},
    "registered-models/get": {"registered_model": {"name": "cells"}},
    "registered-models/alias": {"model_version": {"name": "cells", "version": "1", "run_id": RUN_ID}},
    "model-versions/get-download-uri": {"artifact_uri": "mlflow-artifacts:/1/model"},
    "model-versions/get": {"model_version": {"name": "cells", "version": "1", "run_id": RUN_ID}},
}


@dataclass
class MoodyServer:
    """A server that knows the answers to a few questions.

    Attributes
    ----------
    port : int
        Where it listens on this machine.
    gone : set of str
        Parts of addresses at which it hangs up; the empty text is part of all.
    status : dict
        Part of an address -> the status that it answers with there.
    wanted : str or None
        Header `Authorization` that it wants, or else answers 401; None: it lets everyone in.
    """

    port: int = 0
    gone: set[str] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)
    wanted: str | None = None

    @property
    def uri(self) -> str:
        """Return its address as a careless user writes it, with a password."""
        return f"http://joe:hunter2@127.0.0.1:{self.port}"


@contextmanager
def moody_server() -> Iterator[MoodyServer]:
    """Run a server while the block runs."""
    moody = MoodyServer()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if any(part in self.path for part in moody.gone):
                self.close_connection = True
                return
            status = next((status for part, status in moody.status.items() if part in self.path), 200)
            if moody.wanted not in (None, self.headers.get("Authorization")):
                status = 401
            answer = next((answer for part, answer in _ANSWERS.items() if part in self.path), None)
            body = json.dumps(answer).encode()
            self.send_response(status if answer is not None or status != 200 else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_PUT = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        moody.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield moody
        finally:
            server.shutdown()
            thread.join()
