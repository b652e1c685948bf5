"""Walk from a registered model back to the run, the commit, the bytes and the labels that it came from."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError, first_line, redacted
from visionpipe.lineage.data_version import HASH_TAGS, count_by, verified_files
from visionpipe.lineage.dvc_recording import open_repo
from visionpipe.lineage.history import history, in_words
from visionpipe.progress import doing, progress_bar
from visionpipe.promotion.record import events
from visionpipe.promotion.tracking import TrackingParameters, connect_to_read
from visionpipe.promotion.version_files import WEIGHTS_TAG, VersionNotFetchedError, version_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from rich.console import Console

    from visionpipe.promotion.record import Event

TAG_PREFIX = "visionpipe."
_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class TraceReport:
    """Where a model version came from; what its hashes name has been read back and hashed again.

    Attributes
    ----------
    model_uri, name, version, aliases
        What was asked for and what it stands for now.
    weights_sha256
        Of the weights, which are those that were registered.
    run_id, model_id
        MLflow run, which is there, and logged model.
    git_commit, git_dirty, source_sha256, parameters_sha256, lock_sha256, decision
        The version's tags, `unknown` where there is none.
    run_options
        Options of `kedro run` that its training was started with (`--env`, `--params`).
    history
        Promotion, proposal, approval, rollback of this version: who, when and why, oldest first
        (`visionpipe.lineage.history`).
    store_md5, labels_md5, manifest_md5
        DVC's hashes of image store, label history and manifest.
    n_store_files, store_bytes
        Files of the image store and their total size [bytes].
    n_images, images_by_split
        Rows of the manifest, and of each split.
    n_labels, labels_by_origin
        Rows of the label history, and by origin (import, review, correction).
    """

    model_uri: str
    name: str
    version: str
    aliases: list[str]
    run_id: str
    model_id: str | None
    weights_sha256: str
    git_commit: str
    git_dirty: str
    source_sha256: str
    parameters_sha256: str
    lock_sha256: str
    decision: str
    run_options: str
    history: list[dict[str, Any]]
    store_md5: str
    labels_md5: str
    manifest_md5: str
    n_store_files: int
    store_bytes: int
    n_images: int
    images_by_split: dict[str, int]
    n_labels: int
    labels_by_origin: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def trace(
    model_uri: str,
    project: Path,
    *,
    tracking: TrackingParameters | None = None,
    read_store: bool = True,
) -> TraceReport:
    """Trace a model version of the registry to its data, re-hashing weights and data on the way.

    Parameters
    ----------
    model_uri
        `models:/name@alias` or `models:/name/3`.
    project
        The project folder, whose DVC cache is read.
    tracking
        Where the registry is; by default `MLFLOW_TRACKING_URI`, else `mlflow.db` in the project.
    read_store
        False re-hashes only the listing of the image store and looks whether its files are there.

    Raises
    ------
    DataNotRecoverable
        A hash of the version is not in the DVC cache, or its bytes there are damaged.
    VisionpipeError
        The URI, the model, the alias, the registry, the run, a file or a tag is not there, or the weights are not
        those that were registered.
    """
    with doing("reading the record"):
        client, version = _find_version(model_uri, project, tracking or TrackingParameters())
    tags = {key.removeprefix(TAG_PREFIX): value for key, value in version.tags.items()}
    md5s = {}
    for name in HASH_TAGS:
        if name not in tags:
            raise VisionpipeError(
                f"{model_uri}: version {version.version} has no tag {TAG_PREFIX}{name}; "
                "it was not registered by visionpipe, so its data are unknown"
            )
        md5s[name] = tags[name]

    with doing("reading the model"):
        _require_run(client, version, model_uri)
        _require_files(version, model_uri)
    with open_repo(project, doing=f"{model_uri} can't be traced") as repo:
        cache = Path(repo.cache.local.path)
    manifest = verified_files(cache, md5s["manifest_md5"], called="manifest")
    labels = verified_files(cache, md5s["labels_md5"], called="label history")
    store = _image_store(cache, md5s["store_md5"], whole=read_store)
    images_by_split, labels_by_origin = count_by(manifest, "split"), count_by(labels, "origin")
    source = str(version.source or "")
    return TraceReport(
        model_uri=model_uri,
        name=version.name,
        version=str(version.version),
        aliases=sorted(version.aliases),
        run_id=version.run_id or "unknown",
        # the sqlite registry leaves model_id empty; the source is models:/m-<id> then
        model_id=version.model_id
        or (source.removeprefix("models:/") if source.startswith("models:/m-") else None),
        weights_sha256=tags["weights_sha256"],
        git_commit=tags.get("git_commit", "unknown"),
        git_dirty=tags.get("git_dirty", "unknown"),
        source_sha256=tags.get("source_sha256", "unknown"),
        parameters_sha256=tags.get("parameters_sha256", "unknown"),
        lock_sha256=tags.get("lock_sha256", "unknown"),
        decision=tags.get("decision", "unknown"),
        run_options=tags.get("run_options", ""),
        history=history(_record(client, version.name), str(version.version)),
        **md5s,
        n_store_files=len(store),
        store_bytes=sum(path.stat().st_size for path in store.values()),
        n_images=sum(images_by_split.values()),
        images_by_split=images_by_split,
        n_labels=sum(labels_by_origin.values()),
        labels_by_origin=labels_by_origin,
    )


def render(report: TraceReport, console: Console) -> None:
    """Print the report as a table, from the model at the top to the labels at the bottom."""
    from rich.table import Table
    from rich.text import Text

    dirty = {"true": ", with uncommitted changes", "false": ", clean"}.get(report.git_dirty, "")
    aliases = f" ({', '.join(report.aliases)})" if report.aliases else ""
    rows = {
        "run": report.run_id,
        "logged model": report.model_id or "unknown",
        "weights": f"sha256 {report.weights_sha256}",
        "commit": f"{report.git_commit}{dirty}",
        "source": f"sha256 {report.source_sha256}",
        "parameters": f"sha256 {report.parameters_sha256}"
        + (f", with {report.run_options}" if report.run_options else ""),
        "requirements": f"sha256 {report.lock_sha256}",
        "image store": f"{report.store_md5}: {counted(report.n_store_files, 'file')}, "
        f"{report.store_bytes / 1e6:,.1f} MB",
        "manifest": f"{report.manifest_md5}: {report.n_images:,} images",
        "  by split": _counts(report.images_by_split),
        "label history": f"{report.labels_md5}: {report.n_labels:,} labels",
        "  by origin": _counts(report.labels_by_origin),
    }
    told = [
        ("model", f"{report.name} version {report.version}{aliases}"),
        ("decision", report.decision),
        *((f"  {entry['deed']}", in_words(entry, report.version)) for entry in report.history),
    ]
    table = Table(title=Text(report.model_uri), show_header=False, title_justify="left")
    for name, value in (*told, *rows.items()):
        table.add_row(Text(name), Text(value, overflow="fold"))
    console.print(table)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _require_run(client: MlflowClient, version: ModelVersion, called: str) -> None:
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        raise VisionpipeError(f"{called}: version {version.version} names no MLflow run")
    try:
        stage = client.get_run(version.run_id).info.lifecycle_stage
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise VisionpipeError(f"{called}: run {version.run_id}: {first_line(error)}") from error
        stage = "deleted"
    if stage != "active":
        raise VisionpipeError(
            f"{called}: its run {version.run_id} is deleted; bring it back (mlflow runs restore --run-id ...)"
        )


def _require_files(version: ModelVersion, called: str) -> None:
    """See that weights and settings are there, and those that were registered."""
    from mlflow.exceptions import MlflowException

    if WEIGHTS_TAG not in version.tags:
        raise VisionpipeError(
            f"{called}: version {version.version} has no tag {WEIGHTS_TAG}, so its weights prove nothing"
        )
    try:
        with version_files(version):
            pass
    except VersionNotFetchedError:
        raise
    except (VisionpipeError, MlflowException, OSError) as error:
        raise VisionpipeError(
            f"{called}: its files can't be read: {first_line(error)}; restore them"
        ) from error


def _image_store(cache: Path, md5: str, *, whole: bool) -> dict[str, Path]:
    with progress_bar("files", log=False) as bar:
        task = bar.add_task("reading the image store", total=None, note="")
        return verified_files(
            cache,
            md5,
            called="image store",
            rehash_members=whole,
            tell=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _record(client: MlflowClient, name: str) -> list[Event]:
    from mlflow.exceptions import MlflowException

    try:
        return events(client, name)
    except MlflowException as error:
        raise VisionpipeError(f"{name}: its record can't be read: {first_line(error)}") from error


def _find_version(
    model_uri: str, project: Path, tracking: TrackingParameters
) -> tuple[MlflowClient, ModelVersion]:
    match = _MODEL_URI.fullmatch(model_uri)
    if match is None:
        raise VisionpipeError(
            f"{model_uri!r} is no model version: give models:/NAME@ALIAS or models:/NAME/NUMBER"
        )
    name, alias, number = match["name"], match["alias"], match["version"]
    connect_to_read(project, tracking)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    try:
        try:
            aliases = client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            names = sorted(model.name for model in client.search_registered_models(max_results=10))
            known = f"it has {', '.join(names)}" if names else "it is empty"
            raise VisionpipeError(f"{model_uri}: no model {name} in the registry; {known}") from None
        if alias and alias not in aliases:
            known = ", ".join(sorted(aliases)) or "none"
            raise VisionpipeError(f"{model_uri}: {name} has no alias {alias}; its aliases: {known}")
        return client, client.get_model_version(name, str(aliases[alias]) if alias else number)
    except MlflowException as error:
        raise VisionpipeError(f"{model_uri}: {redacted(' '.join(str(error).split()))}") from error
