"""Tables and documents on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from visionpipe.atomic import new_file, new_folder
from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    import pandas as pd


def require_there(path: Path) -> None:
    """Raise a VisionpipeError when an earlier pipeline has yet to write `path`."""
    if not path.exists():
        raise VisionpipeError(
            f"{path} is not there yet: run the pipeline that writes it first, or `kedro run`"
        )


class WholeFile(AbstractDataset[Any, Any]):
    """One file that is replaced whole; what is in it is for the kinds below.

    Parameters
    ----------
    filepath : str
        Where it lies.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class ParquetTable(WholeFile):
    """A Parquet file that is replaced whole."""

    def load(self) -> pd.DataFrame:
        """Read the table."""
        require_there(self._filepath)
        import pandas as pd

        return pd.read_parquet(self._filepath)

    def save(self, data: pd.DataFrame) -> None:
        """Write the table; the same rows give the same bytes."""
        with new_file(self._filepath) as temporary:
            data.to_parquet(temporary, index=False, compression="zstd")


class JsonDocument(WholeFile):
    """A JSON file that is replaced whole. NaN is refused, for no other JSON reader takes it."""

    def load(self) -> dict:
        """Read the document."""
        require_there(self._filepath)
        return json.loads(self._filepath.read_text(encoding="utf-8"))

    def save(self, data: dict) -> None:
        """Write the document, keys in the order given."""
        with new_file(self._filepath) as temporary:
            document = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
            temporary.write_text(document + "\n", encoding="utf-8")


class JsonDocuments(AbstractDataset[None, dict[str, dict]]):
    """The JSON documents of a folder that are there, whichever run wrote them.

    Parameters
    ----------
    path : str
        The folder.
    names : list of str
        File names without `.json`.
    """

    def __init__(self, *, path: str, names: list[str], metadata: dict | None = None) -> None:
        self._path = Path(path)
        self._names = names
        self.metadata = metadata

    def load(self) -> dict[str, dict]:
        """Read them, keyed by name; those that are not there are left out."""
        files = {name: self._path / f"{name}.json" for name in self._names}
        return {
            name: json.loads(file.read_text(encoding="utf-8"))
            for name, file in files.items()
            if file.is_file()
        }

    def save(self, data: None) -> NoReturn:
        """Refuse: each has its own entry in the catalog."""
        raise DatasetError("these documents are read only")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "names": self._names}


class TextDocument(WholeFile):
    """A text file, UTF-8, that is replaced whole."""

    def load(self) -> str:
        """Read the text."""
        require_there(self._filepath)
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write the text."""
        with new_file(self._filepath) as temporary:
            temporary.write_text(data, encoding="utf-8")


class WebPage(TextDocument):
    """A self-contained HTML page that is replaced whole."""


class FileTree(AbstractDataset[dict[str, bytes], dict[str, bytes]]):
    """A folder of files that is replaced whole (Data Docs).

    Parameters
    ----------
    path : str
        The folder.
    """

    def __init__(self, *, path: str, metadata: dict | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> dict[str, bytes]:
        """Read all files, keyed by their relative path."""
        require_there(self._path)
        files = sorted(path for path in self._path.rglob("*") if path.is_file())
        return {path.relative_to(self._path).as_posix(): path.read_bytes() for path in files}

    def save(self, data: dict[str, bytes]) -> None:
        """Write all files in place of those there."""
        with new_folder(self._path) as temporary:
            for name, content in data.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(content)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
