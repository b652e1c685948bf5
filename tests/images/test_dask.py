"""Ingestion on a Dask cluster gives what it gives on this machine."""

from __future__ import annotations

import socket
from dataclasses import replace

import pandas as pd
import pytest

from photo_files import class_folders
from photo_readers import die
from visionpipe.errors import VisionpipeError
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.parameters import IngestionParameters

distributed = pytest.importorskip("distributed", reason="the distributed extra is not installed")
pytestmark = [
    # distributed leaves sockets and its event loop to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def scheduler():
    """The address of a real scheduler with two worker processes."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_changes_nothing(scheduler, tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=60, dog=50)
    (folder / "cat/05.png").write_text("no photo")
    photos = listed(folder)
    here, there = replace(warehouse, root=tmp_path / "here"), replace(warehouse, root=tmp_path / "there")
    here.take_in(photos, IngestionParameters(workers=2))
    there.take_in(photos, IngestionParameters(scheduler=scheduler))
    pd.testing.assert_frame_equal(here.manifest(), there.manifest())
    pd.testing.assert_frame_equal(here.quarantine(), there.quarantine())
    assert len(there.manifest()) == 109


def test_a_decoder_that_kills_its_worker_costs_one_file(scheduler, tmp_path, listed):
    photos = listed(class_folders(tmp_path / "photos", cat=40))
    photos[7] = replace(photos[7], read=die)
    verdicts = [verdict for _, _, verdict in inspect_photos(photos, IngestionParameters(scheduler=scheduler))]
    assert verdicts[7].reason == "decoder_died"
    assert [number for number, verdict in enumerate(verdicts) if hasattr(verdict, "reason")] == [7]


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, listed):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    photos = listed(class_folders(tmp_path / "photos", cat=1))
    with pytest.raises(VisionpipeError, match=f"no Dask scheduler answers at {address}"):
        list(inspect_photos(photos, IngestionParameters(scheduler=address)))
