"""A `kill -9` at any moment of an ingestion loses nothing and doubles nothing: the next run completes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from photo_files import class_folders, encode, picture
from project_copy import copy_project

# One process imports everything and forks the runs, so that kills fall into the work and not into imports.
RUNS = """
import json, os, random, shutil, sys, time
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from visionpipe.datasets.photos import ImageLooks, PhotoSources, ShardedTable
from visionpipe.datasets.tables import ParquetTable
from visionpipe.images.parameters import IngestionParameters
from visionpipe.pipelines.ingestion import create_pipeline
import visionpipe.images.file_index, visionpipe.images.ingest, visionpipe.images.manifest, scipy.fft

photos, data, kills, workers, seed = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
random.seed(seed)

def run(data):
    tables = {
        name: ShardedTable(path=f"{data}/{folder}", table=table)
        for table, folder, *names in (
            ("images", "images", "image_store", "stored_images"),
            ("labels", "labels", "label_history", "known_labels"),
            ("files", "file_index", "file_index", "known_files"),
        )
        for name in names
    }
    source = {"importer": "folder", "path": photos, "arrived_at": "2026-01-05"}
    parameters = IngestionParameters(chunk_images=12, workers=workers)
    SequentialRunner().run(create_pipeline(), DataCatalog({
        **tables,
        "stored_looks": ImageLooks(path=f"{data}/images"),
        "photos": PhotoSources(sources={"mine": source}),
        "reviewed_photos": PhotoSources(sources={}),
        "params:ingestion": MemoryDataset(parameters),
        "manifest": ParquetTable(filepath=f"{data}/manifest.parquet"),
        "quarantine": ParquetTable(filepath=f"{data}/quarantine.parquet"),
    }))

def forked(data, limit_s=None):
    child = os.fork()
    if not child:
        try:
            run(data)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    if limit_s is not None:
        time.sleep(limit_s)
        os.kill(child, 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

started = time.monotonic()
if kills:
    forked(f"{data}/unbroken")
whole_s = time.monotonic() - started
shutil.rmtree(f"{data}/unbroken", ignore_errors=True)
# half at most: on a machine that is free again a run takes less than the one that was timed
codes = [forked(data, random.uniform(0.02, 0.5) * whole_s) for _ in range(kills)]
print(json.dumps({"killed": codes.count(-9), "failed": codes.count(1), "last": forked(data)}))
"""
TABLES = ("images", "labels", "file_index")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make 300 photos, among them copies, contradictions and files that cannot be used."""
    folder = class_folders(tmp_path_factory.mktemp("photos"), cat=140, dog=140)
    for number in range(5):
        (folder / f"cat/copy{number}.png").write_bytes((folder / f"cat/{number:02d}.png").read_bytes())
        (folder / f"dog/cat{number}.png").write_bytes((folder / f"cat/{number + 20:02d}.png").read_bytes())
        (folder / f"dog/cut{number}.png").write_bytes(encode(picture(900 + number), "PNG")[:300])
        (folder / f"stray{number}.png").write_bytes(encode(picture(950 + number), "PNG"))
    return folder


@pytest.fixture(scope="module")
def ingest(photos: Path) -> Callable[..., dict]:
    def run(data: Path, *, kills: int = 0, workers: int = 1, seed: int = 0) -> dict:
        done = subprocess.run(
            [sys.executable, "-c", RUNS, str(photos), str(data), *map(str, (kills, workers, seed))],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        outcome = json.loads(done.stdout.splitlines()[-1])
        assert (outcome["failed"], outcome["last"]) == (0, 0), done.stderr
        return outcome

    return run


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, ingest: Callable[..., dict]) -> Path:
    data = tmp_path_factory.mktemp("unbroken")
    ingest(data)
    return data


def rows(folder: Path) -> pd.DataFrame:
    """Read a table as anybody would, without hiding what is there twice."""
    shards = sorted(folder.iterdir())
    columns = [name for name in pq.read_schema(shards[0]).names if name not in {"image", "thumbnail"}]
    return pd.concat([pq.read_table(shard, columns=columns).to_pandas() for shard in shards])


def test_an_unbroken_run_accounts_for_every_photo(unbroken, photos):
    files = rows(unbroken / "file_index")
    assert len(files) == 300
    assert len(pd.read_parquet(unbroken / "manifest.parquet")) == 280
    quarantine = pd.read_parquet(unbroken / "quarantine.parquet")
    assert quarantine["reason"].value_counts().to_dict() == {"undecodable": 5, "no_label": 5}


@pytest.mark.parametrize("seed", [1, 2])
def test_eight_kills_lose_nothing_and_double_nothing(seed, tmp_path, ingest, unbroken):
    outcome = ingest(tmp_path, kills=8, seed=seed)
    assert outcome["killed"] >= 2  # on a fast machine the last ones find nothing left to do
    for name in ("manifest.parquet", "quarantine.parquet"):
        assert (tmp_path / name).read_bytes() == (unbroken / name).read_bytes(), name
    images, labels, files = (rows(tmp_path / table) for table in TABLES)
    assert images["image_id"].is_unique
    assert len(images) == 280
    assert not labels.duplicated(["image_id", "label", "annotator"]).any()
    assert len(labels) == len(rows(unbroken / "labels")) == 285
    assert not files.duplicated(["source", "path"]).any()
    assert len(files) == 300


def test_a_killed_run_leaves_nothing_but_shards_where_dvc_looks(tmp_path, ingest):
    ingest(tmp_path, kills=6, seed=3)
    for table in TABLES:
        assert {path.suffix for path in (tmp_path / table).iterdir()} == {".parquet"}


def test_kills_while_worker_processes_inspect_lose_nothing_either(tmp_path, ingest, unbroken):
    ingest(tmp_path, kills=3, workers=2, seed=4)
    manifest = (tmp_path / "manifest.parquet").read_bytes()
    assert manifest == (unbroken / "manifest.parquet").read_bytes()
    assert rows(tmp_path / "images")["image_id"].is_unique


def test_two_ingestions_at_once_store_every_photo_once(tmp_path, photos):
    project = copy_project(tmp_path / "plant", git=False)
    project.use_photos(photos)
    with ThreadPoolExecutor(2) as both:
        runs = list(both.map(lambda _: project.run("kedro", "run", "--pipelines", "ingestion"), range(2)))
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    assert any("another run is writing" in " ".join(run.stdout.split()) for run in runs)
    data = project.path / "data"
    images = rows(data / "01_raw/images")
    assert images["image_id"].is_unique
    assert len(images) == 280
    assert len(rows(data / "01_raw/labels")) == 285
    assert not rows(data / "02_intermediate/file_index").duplicated(["source", "path"]).any()


def test_a_disk_that_fills_loses_nothing_and_says_so(tmp_path, small_disk, photos):
    project = copy_project(tmp_path / "plant", git=False)
    project.use_photos(photos)
    raw = project.path / "data/01_raw"
    shutil.copytree(raw, small_disk / "01_raw")
    shutil.rmtree(raw)
    raw.symlink_to(small_disk / "01_raw")
    command = ("kedro", "run", "--pipelines", "ingestion", "--params", "ingestion.chunk_images=40")
    full = project.run(*command)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(raw.glob(".*.tmp"))
    stored = rows(raw / "images")
    assert 0 < len(stored) < 280
    raw.unlink()
    shutil.copytree(small_disk / "01_raw", raw)  # onto a larger disk
    assert project.run(*command).returncode == 0
    images = rows(raw / "images")
    assert images["image_id"].is_unique
    assert len(images) == 280
    assert images["image_id"].tolist()[: len(stored)] == stored["image_id"].tolist()
