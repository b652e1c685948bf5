"""Photos on their way in, and the append-only tables that they are kept in."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from visionpipe.datasets.tables import require_there

if TYPE_CHECKING:
    import pandas as pd

    from visionpipe.images.importers import Photo, Source
    from visionpipe.images.store import ImageReader, StoredLooks

logger = logging.getLogger(__name__)


class PhotoSources(AbstractDataset["list[Photo]", None]):
    """The photos of one or more sources, listed but not read.

    Parameters
    ----------
    sources : dict
        Name of the source -> its importer and options (`visionpipe.images.importers.Source`).
    """

    def __init__(self, *, sources: dict[str, dict], metadata: dict | None = None) -> None:
        self._sources = sources
        self.metadata = metadata

    def load(self) -> list[Photo]:
        """List the photos of all sources, in the order of the configuration."""
        from visionpipe.images.importers import iterate_photos

        now = datetime.now(UTC).replace(microsecond=0)
        photos: list[Photo] = []
        for source in self._parsed():
            n_before = len(photos)
            photos += iterate_photos(source, now)
            if len(photos) == n_before and source.importer != "reviewed":
                logger.warning("source %s holds no photo (is its folder mounted?)", source.name)
        return photos

    def save(self, data: None) -> NoReturn:
        """Refuse: photos are not ours to change."""
        raise DatasetError("photo sources are read only")

    @property
    def reviews(self) -> list[Path]:
        """Where reviewers' labels lie that are read as photos."""
        return [
            Path(source.path, "reviews")
            for source in self._parsed()
            if source.importer == "reviewed" and source.path is not None
        ]

    def _parsed(self) -> list[Source]:
        from visionpipe.errors import VisionpipeError
        from visionpipe.images.importers import Source
        from visionpipe.mistakes import mistakes

        like = "{my_photos: {importer: folder, path: /my/photos}}"
        if not isinstance(self._sources, dict):
            raise VisionpipeError(f"catalog: `sources` must be like {like}")
        if wrong := [str(name) for name, options in self._sources.items() if not isinstance(options, dict)]:
            # without its value: what stands beside it may be a password
            raise VisionpipeError(f"catalog: `sources` must be like {like}; {', '.join(wrong)} is no section")
        parsed = []
        for name, options in self._sources.items():
            given = {**options, "name": name}
            if wrong := mistakes(Source, given, called=f"sources.{name}"):
                raise VisionpipeError(f"catalog: {'; '.join(wrong)}")
            parsed.append(Source.model_validate(given))
        return parsed

    def _describe(self) -> dict[str, Any]:
        return {"sources": _without_credentials(self._sources)}


def _without_credentials(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_credentials(each) for key, each in value.items() if key != "storage_options"}
    return value


class ShardedTable(AbstractDataset["Sequence[dict]", "pd.DataFrame"]):
    """An append-only folder of Parquet shards.

    Loading reads every column but the image bytes; saving appends the rows as one shard, and nothing when there
    are none.

    Parameters
    ----------
    path : str
        The folder.
    table : {"images", "labels", "files"}
        Which schema the rows have.
    """

    def __init__(
        self, *, path: str, table: Literal["images", "labels", "files"], metadata: dict | None = None
    ) -> None:
        self._path = Path(path)
        self._table = table
        self.metadata = metadata

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    def load(self) -> pd.DataFrame:
        """Read the table, oldest row first; no rows when nothing was appended yet."""
        from visionpipe.images import store

        if self._table == "images":
            return store.read_store_index(self._path)
        return store.read_tables(self._path, self._schema())

    def save(self, data: Sequence[dict]) -> None:
        """Append rows."""
        from visionpipe.images.shards import append_shard

        self._path.mkdir(parents=True, exist_ok=True)
        if data:
            append_shard(self._path, data, self._schema(), prefix=self._table)

    def _schema(self) -> Any:
        from visionpipe.images import store

        schemas = {"images": store.IMAGE_SCHEMA, "labels": store.LABEL_SCHEMA, "files": store.FILE_SCHEMA}
        return schemas[self._table]

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "table": self._table}


class StoredImages(AbstractDataset[None, "ImageReader"]):
    """The bytes behind an image store, as a function that streams those of the ids it is given.

    Parameters
    ----------
    path : str
        The store's folder.
    """

    def __init__(self, *, path: str, metadata: dict | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> ImageReader:
        """Return the reader; nothing is read yet."""
        from visionpipe.images.store import read_images

        require_there(self._path)
        return partial[Iterable](read_images, self._path)

    def save(self, data: None) -> NoReturn:
        """Refuse: images are appended by the image store's own dataset."""
        raise DatasetError("stored images are read only")

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class ImageLooks(StoredImages):
    """What the images of a store look like (`visionpipe.images.store.StoredLooks`), read only where asked for."""

    def load(self) -> StoredLooks:
        """Return the reader; nothing is read yet, and the folder need not be there."""
        from visionpipe.images.store import StoredLooks

        return StoredLooks(self._path)


class DecodedImages(AbstractDataset[Any, Any]):
    """The memory-mapped array of decoded images (`visionpipe.images.prepare`).

    Parameters
    ----------
    path : str
        The folder; an array of the same images and size is not written again.
    """

    def __init__(self, *, path: str, metadata: dict | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> Any:
        """Map the array into memory as `PreparedImages`."""
        from visionpipe.images.prepare import read_prepared

        return read_prepared(self._path)

    def save(self, data: Any) -> None:
        """Carry out an `ImagePlan`."""
        from visionpipe.images.prepare import write_prepared

        write_prepared(data, self._path)

    def _exists(self) -> bool:
        return (self._path / "key.txt").exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
