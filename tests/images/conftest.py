"""An image store on disk that photos are brought into, as the ingestion pipeline does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from photo_readers import CountedRead
from visionpipe.images import store
from visionpipe.images.file_index import build_quarantine
from visionpipe.images.importers import Photo, Source, iterate_photos
from visionpipe.images.ingest import Chunk, ingest
from visionpipe.images.manifest import build_manifest
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.shards import append_shard

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ALONE = IngestionParameters(workers=1)


@dataclass(frozen=True)
class Warehouse:
    """The tables of one project."""

    root: Path

    @property
    def images(self) -> pd.DataFrame:
        return store.read_store_index(self.root / "images")

    @property
    def labels(self) -> pd.DataFrame:
        return store.read_tables(self.root / "labels")

    @property
    def files(self) -> pd.DataFrame:
        return store.read_tables(self.root / "files", store.FILE_SCHEMA)

    def take_in(self, photos: Iterable[Photo], parameters: IngestionParameters = ALONE) -> list[Chunk]:
        """Ingest photos and append what comes of them."""
        chunks = []
        looks = store.StoredLooks(self.root / "images")
        for chunk in ingest(photos, self.images, looks, self.labels, self.files, parameters):
            for name, schema in (
                ("labels", store.LABEL_SCHEMA),
                ("images", store.IMAGE_SCHEMA),
                ("files", store.FILE_SCHEMA),
            ):
                if rows := getattr(chunk, name):
                    append_shard(self.root / name, rows, schema, prefix=name)
            chunks.append(chunk)
        return chunks

    def manifest(self, parameters: IngestionParameters = ALONE) -> pd.DataFrame:
        return build_manifest(self.images, self.labels, parameters)

    def quarantine(self, parameters: IngestionParameters = ALONE) -> pd.DataFrame:
        return build_quarantine(self.files, self.images, self.labels, self.manifest(parameters))


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


@pytest.fixture(scope="session")
def listed() -> Callable[..., list[Photo]]:
    """List a folder of class folders."""

    def list_folder(folder: Path, **options) -> list[Photo]:
        source = Source(**{"name": "mine", "importer": "folder", "path": folder, **options})
        return list(iterate_photos(source, NOW))

    return list_folder


class CountedReads(list):
    """Photos whose every read is counted."""

    def __init__(self, photos: Iterable[Photo], diary: Path) -> None:
        self._diary = diary
        self._diary.touch()
        super().__init__(
            replace(photo, read=CountedRead(photo.read, photo.path, self._diary)) for photo in photos
        )

    @property
    def read_paths(self) -> list[str]:
        """The paths of what was read so far."""
        return self._diary.read_text().splitlines()


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Iterable[Photo]], CountedReads]:
    """Count the reads of photos."""
    return lambda photos: CountedReads(photos, tmp_path_factory.mktemp("reads") / "diary")
