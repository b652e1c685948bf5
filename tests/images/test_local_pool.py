"""Workers that die at the worst moment end the run with one line, and never hang it."""

from __future__ import annotations

import contextlib
import time
from multiprocessing import active_children

import pytest

from photo_readers import die_while_handing_over
from visionpipe.errors import VisionpipeError
from visionpipe.images import fork_server, local_pool


def test_a_worker_killed_while_it_hands_over_ends_the_run_and_leaves_none_behind(monkeypatch):
    """Half a message lies in the pipe, and the lock on it died with its holder: nobody can send any more."""
    monkeypatch.setattr(local_pool, "_GRACE_S", 3.0)
    monkeypatch.setattr(local_pool, "_JOIN_S", 0.5)
    with (
        pytest.raises(VisionpipeError, match="no longer answer"),
        local_pool.local_pool(die_while_handing_over, 2, memory_mb=4096) as pool,
    ):
        for result in [pool.submit(timeout_s=2.0) for _ in range(4)]:
            with contextlib.suppress(*pool.failures):  # a file is blamed, until none answers
                result.result()
    end = time.monotonic() + 10
    while any(isinstance(child, fork_server.Worker) for child in active_children()):
        assert time.monotonic() < end
        time.sleep(0.1)
