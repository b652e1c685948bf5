"""The prediction log: a folder of files, one partition a day, that survives whatever is in them."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from visionpipe.atomic import new_file
from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError, first_line
from visionpipe.monitoring.prediction_files import (
    ATTRIBUTES_LEFT_OUT,
    BROKEN,
    Piece,
    Refusal,
    conform,
    content_name,
    read_pieces,
    recurring_names,
)
from visionpipe.monitoring.prediction_rows import REQUIRED, SCHEMA, refusals

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionLog:
    """The sound rows of a prediction log, and everything that was refused."""

    rows: pd.DataFrame
    """The contract's columns (missing numbers are NaN), then the attributes. `probabilities` and `embedding`
    hold one float array a row (or None: no embedding); `requested_at` is UTC; a missing `deferred` False."""

    refused: pd.DataFrame
    """One line a refusal: `reason`, `file` (in the log), `row` (from 1; missing: whole file), `detail`. Attributes that
    are left out have one, too."""

    other_versions: dict[str, int] = field(default_factory=dict)
    """Rows of other models that were passed over unread, by model version."""

    @property
    def refused_rows(self) -> dict[str, int]:
        """Number of refused rows by reason, most frequent first."""
        return self._counts(self.refused["row"].notna())

    @property
    def refused_files(self) -> dict[str, int]:
        """Number of files that were refused whole, however many rows they hold, by reason, most frequent first."""
        return self._counts(self.refused["row"].isna() & (self.refused["reason"] != ATTRIBUTES_LEFT_OUT))

    def _counts(self, chosen_N: pd.Series) -> dict[str, int]:
        reasons = self.refused.loc[chosen_N, "reason"]
        return {str(reason): int(count) for reason, count in reasons.value_counts().items()}


LogReader = Callable[..., PredictionLog]
"""`read_predictions` with the folder and the time filled in: called with `classes` and perhaps `model_version`
and `window_days`."""


def write_predictions(folder: Path, predictions: pd.DataFrame) -> Path:
    """Add predictions to the log: one Parquet file for each UTC day among them.

    A file appears whole or not at all, and its name is the hash of its content: writing the same rows twice,
    in whatever order, leaves one copy.

    Parameters
    ----------
    folder : Path
        The log, made if missing. Files go to `folder/date=YYYY-MM-DD/<sha256>.parquet`.
    predictions : pandas.DataFrame
        The required columns and any other; `requested_at` as times (UTC if naive) or ISO 8601 text.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    VisionpipeError
        If a required column is missing or empty in a row, or a column has the wrong type; nothing is written.
    """
    if predictions.empty:
        return folder
    absent = [name for name in REQUIRED if name not in predictions.columns]
    if absent:
        raise VisionpipeError(f"{folder}: predictions lack the column(s) {', '.join(absent)}; add them")
    try:
        table, attributes = conform(pa.Table.from_pandas(predictions, preserve_index=False))
    except BROKEN as error:
        raise VisionpipeError(f"{folder}: predictions cannot be written: {first_line(error)}") from error
    for name in REQUIRED:
        if table[name].null_count:
            raise VisionpipeError(
                f"{folder}: {counted(table[name].null_count, 'prediction')} without a usable {name}; fill it in"
            )
    for name in sorted(attributes.column_names):
        table = table.append_column(name, attributes[name])
    table = table.sort_by("prediction_id")  # the order of the rows must not change the content
    day_N = table["requested_at"].cast(pa.date32(), safe=False)
    for day in sorted(day_N.unique().to_pylist()):
        _write_whole(folder / f"date={day:%Y-%m-%d}", table.filter(pc.equal(day_N, day)))
    return folder


def _write_whole(partition: Path, table: pa.Table) -> None:
    content = io.BytesIO()  # in memory: a file is named by its content
    pq.write_table(table, content)
    with new_file(partition / f"{content_name(content)}.parquet") as temporary:
        temporary.write_bytes(content.getbuffer())


def read_predictions(
    folder: Path,
    *,
    classes: Sequence[str],
    now: datetime,
    model_version: str | None = None,
    window_days: int | None = None,
) -> PredictionLog:
    """Read a prediction log: keep its sound rows and name what is wrong with the others.

    Nothing in the log stops the run: a broken line costs that line, a broken Parquet file that file. Of
    several sound rows of a model with one `prediction_id` the first (by day, file name, row) is kept.

    Parameters
    ----------
    folder : Path
        The log: `.parquet` and `.jsonl` files in `date=*/` and folders below; a folder that does not exist is an
        empty log. Names that start with a dot or an underscore are passed over.
    classes : sequence of str
        The K classes of the model, in the order of `probabilities`.
    now : datetime
        The present (UTC if naive); a prediction from more than five minutes later is refused.
    model_version : str, optional
        Read this model's predictions only: those of others, which may have other classes, are counted.
    window_days : int, optional
        Leave the folders unread whose day lies more than a day before the window, which goes back from the newest
        prediction. The rows of the first days read may still lie before it.

    Returns
    -------
    PredictionLog
    """
    pieces, refused, others, newest = [], [], Counter(), None
    for file, path in _newest_day_first(folder):
        day = _day_of(file)
        if len(file.parts) == 1 or not file.parts[0].startswith("date="):
            refused.append(_refused_file(file.as_posix(), "file is in no folder date=YYYY-MM-DD"))
            continue
        if window_days and newest and day and (newest.date() - day).days > window_days + 1:
            continue
        for piece in read_pieces(path):
            piece, passed_over = _of_version(piece, model_version)
            others.update(passed_over)
            reason_N = refusals(piece.table, classes=classes, now=now)
            sound_N = np.equal(reason_N, None).astype(bool)
            refused.append(_refused(file.as_posix(), piece, reason_N, sound_N))
            if sound_N.any():
                piece = _rows(piece, sound_N)
                pieces.append((file, piece))
                latest = pc.max(piece.table["requested_at"]).as_py()
                newest = max(newest, latest) if newest else latest
    if not pieces:
        return PredictionLog(SCHEMA.empty_table().to_pandas(), _concat_refused(refused), dict(others))
    # the oldest day first: of repeated predictions the first counts
    pieces.sort(key=lambda read: read[0].parts)
    table = pa.concat_tables([piece.table for _, piece in pieces])
    origins = [pd.DataFrame({"file": file.as_posix(), "row": piece.row_N}) for file, piece in pieces]
    keys = table.select(["model_version", "prediction_id"]).to_pandas()
    first_N = ~keys.duplicated().to_numpy()
    repeated = pd.concat(origins, ignore_index=True)[~first_N]
    refused.append(repeated.assign(reason="prediction_id was logged before", detail=""))
    attributes, left_out = _attributes([piece for _, piece in pieces])
    refused += [_refused_file(".", refusal.reason, refusal.detail) for refusal in left_out]
    rows = _to_pandas(table.filter(pa.array(first_N)))
    rows = pd.concat([rows, attributes[first_N].reset_index(drop=True)], axis=1)
    log = PredictionLog(rows, _concat_refused(refused), dict(others))
    names_left_out = log.refused.loc[log.refused["reason"] == ATTRIBUTES_LEFT_OUT, ["file", "detail"]]
    if len(names_left_out):
        file, names = names_left_out.iloc[0]
        logger.warning("%s: %s (%s)", folder / file, ATTRIBUTES_LEFT_OUT, names)
    return log


def _newest_day_first(folder: Path) -> list[tuple[PurePath, Path]]:
    """List the files of the log, by their path inside it: newest day first, in each by name."""
    files = [(path.relative_to(folder), path) for path in folder.rglob("*") if not path.is_dir()]
    shown = [(file, path) for file, path in files if not any(part[0] in "._" for part in file.parts)]
    shown.sort(key=lambda each: each[0].parts)
    return sorted(shown, key=lambda each: each[0].parts[0], reverse=True)


def _day_of(file: PurePath) -> date | None:
    try:
        return date.fromisoformat(file.parts[0].removeprefix("date="))
    except ValueError:
        return None


def _rows(piece: Piece, wanted_N: np.ndarray) -> Piece:
    return Piece(
        piece.table.filter(pa.array(wanted_N)),
        piece.attributes[wanted_N].reset_index(drop=True),
        piece.row_N[wanted_N],
        piece.refused,
    )


def _of_version(piece: Piece, model_version: str | None) -> tuple[Piece, dict[str, int]]:
    """Keep the rows of a model, and those that name none, which will be refused; count the others."""
    if model_version is None:
        return piece, {}
    named = piece.table["model_version"].to_pandas()
    other_N = (named.notna() & ~named.isin(["", str(model_version)])).to_numpy()
    if not other_N.any():
        return piece, {}
    return _rows(piece, ~other_N), {str(name): int(n) for name, n in named[other_N].value_counts().items()}


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    position = SCHEMA.get_field_index("deferred")
    table = table.set_column(position, SCHEMA.field(position), pc.fill_null(table["deferred"], False))
    return table.to_pandas()


def _attributes(pieces: list[Piece]) -> tuple[pd.DataFrame, list[Refusal]]:
    lines_of = Counter()
    for piece in pieces:
        lines_of.update(piece.attributes.count().to_dict())
    names, left_out = recurring_names(lines_of, sum(len(piece.row_N) for piece in pieces))
    parts = [piece.attributes[[name for name in piece.attributes if name in names]] for piece in pieces]
    return pd.concat(parts, ignore_index=True), left_out


def _refused_file(file: str, reason: str, detail: str = "") -> pd.DataFrame:
    return pd.DataFrame({"reason": [reason], "file": file, "row": None, "detail": detail})


def _refused(file: str, piece: Piece, reason_N: np.ndarray, sound_N: np.ndarray) -> pd.DataFrame:
    unread = pd.DataFrame(piece.refused, columns=["reason", "row", "detail"])
    unsound = pd.DataFrame({"reason": reason_N[~sound_N], "row": piece.row_N[~sound_N], "detail": ""})
    return pd.concat([unread, unsound]).assign(file=file)


def _concat_refused(refused: list[pd.DataFrame]) -> pd.DataFrame:
    types = {"reason": "str", "file": "str", "row": "Int64", "detail": "str"}
    table = pd.concat(refused, ignore_index=True) if refused else pd.DataFrame(columns=list(types))
    return table[list(types)].astype(types)
