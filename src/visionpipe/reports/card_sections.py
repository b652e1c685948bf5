"""The sections of a model card that say what a model is, what it was made from and how to make it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from visionpipe.reports.card_blocks import Block, Bullets, Cell, Code, Facts, Section, Table, Text
from visionpipe.reports.model_facts import model_facts
from visionpipe.reports.wording import NOTHING, fact, number, title_of

_PRIVACY = {
    "purpose": "Purpose of the processing",
    "lawful_basis": "Lawful basis",
    "retention": "Retention",
    "informed": "Who was told",
}
_HASHED_PATHS = {  # as in the catalog's `data_version`
    "store_md5": "data/01_raw/images",
    "labels_md5": "data/01_raw/labels",
    "manifest_md5": "data/02_intermediate/manifest.parquet",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")


def purpose(card: Mapping[str, Any]) -> Section:
    """Return what people have said of the model, and what they have not."""
    blocks: list[Block] = []
    if card.get("purpose"):
        blocks.append(Text(card["purpose"]))
    if card.get("owner"):
        blocks.append(Facts({"Answers for it": card["owner"]}))
    for key, title in (("intended_use", "Intended use"), ("out_of_scope", "Not to be used for")):
        if card.get(key):
            blocks.append(Bullets(card[key], title))
    required = {
        "purpose": "what it is for",
        "owner": "who answers for it",
        "intended_use": "its intended use",
        "out_of_scope": "what it must not be used for",
    }
    if unsaid := {key: said for key, said in required.items() if not card.get(key)}:
        keys = ", ".join(f"promotion.card.{key}" for key in unsaid)
        blocks.append(Text(f"Not stated: {', '.join(unsaid.values())} ({keys}).", missing=True))
    return Section("Purpose", blocks)


def the_model(evaluation: Mapping[str, Any], examination: Mapping[str, Any]) -> Section:
    """Return what the model is and how it comes to an answer."""
    found = model_facts(evaluation.get("model") or {}, evaluation["classes"], examination.get("size"))
    return Section("The model", [Facts(found)])


def data(
    composition: Mapping[str, Any],
    version: Mapping[str, Any],
    validation: Mapping[str, Any],
    demo_notice: str | None,
) -> Section:
    """Return what the data are made of, by class, source and split, and under which hashes they are kept."""
    blocks: list[Block] = [Text(demo_notice)] if demo_notice else []
    blocks += [_counts("Class", composition["by_class"]), _counts("Source", composition["by_source"])]
    origins = version.get("labels_by_origin") or {}
    values = {
        "Photos in use": number(composition["n_images"]),
        "Groups that no split divides": number(composition.get("n_groups")),
        "Taken": _span(composition.get("captured")),
        "Arrived": _span(composition.get("arrived")),
        "Labels by origin": ", ".join(f"{count:,} {name}" for name, count in origins.items()) or NOTHING,
        "Kept out (quarantine)": number(validation.get("n_quarantined")),
        "Contradictory labels": number(validation.get("n_contradicted")),
    }
    for column, counts in (composition.get("attributes") or {}).items():
        values[title_of(column)] = ", ".join(f"{value} {n:,}" for value, n in counts.items()) or NOTHING
    blocks.append(Facts({name: text for name, text in values.items() if text != NOTHING}))
    hashes = {title_of(key): str(version[key]) for key in _HASHED_PATHS if version.get(key)}
    if hashes:
        blocks.append(Facts(hashes, "DVC hashes"))
    return Section("Data it was made from", blocks)


def _counts(what: str, by_split: Mapping[str, Mapping[str, int]]) -> Table:
    names = list(dict.fromkeys(name for counts in by_split.values() for name in counts))
    rows = [
        [Cell(str(name)), *(Cell(number(counts.get(name, 0))) for counts in by_split.values())]
        for name in names
    ]
    foot = [Cell("All"), *(Cell(number(sum(counts.values()))) for counts in by_split.values())]
    head = [what, *(title_of(split) for split in by_split)]
    return Table(f"Photos by {what.lower()} and split", head, rows, foot if len(names) > 1 else ())


def _span(days: list[str] | None) -> str:
    if not days:
        return NOTHING
    return days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"


def privacy(record: Mapping[str, Any]) -> Section:
    """Return what was said of personal data, and what was taken out of the photos."""
    said = {name: str(record[key]) for key, name in _PRIVACY.items() if record.get(key)}
    said["Removed from each file"] = (
        "position, names, serial numbers, previews and comments"
        if record.get("strip_metadata")
        else "nothing"
    )
    said["Faces"] = "blurred before a photo is stored" if record.get("blur_faces") else "not looked for"
    blocks: list[Block] = [Facts(said)]
    if not any(record.get(key) for key in _PRIVACY):
        text = (
            "No processing of personal data is stated (ingestion.privacy): no source is said to show people."
        )
        blocks.insert(0, Text(text))
    return Section("Privacy", blocks)


def reproduce(decision: Mapping[str, Any], weights_sha256: str | None) -> Section:
    """Return the commands that bring code and data back and train the model again."""
    provenance, version = decision.get("provenance") or {}, decision.get("data") or {}
    commit = str(provenance.get("git_commit", "unknown"))
    steps = []
    if decision.get("challenger_version"):
        uri = f"models:/{decision['model_name']}/{decision['challenger_version']}"
        steps += [
            "# from this version to its bytes and labels, all hashed again",
            f"visionpipe trace {shlex.quote(uri)}",
        ]
    steps.append("# the code")
    if _COMMIT.fullmatch(commit):
        steps.append(f"git checkout {commit}")
    else:
        steps.append(f"# commit {commit}: compare the SHA-256 of the source, below")
    if provenance.get("git_dirty") == "true":
        steps.append("# tracked files had changes that were not committed: this commit alone is not the code")
    steps += ["# the versions of requirements.lock", "make setup && source .venv/bin/activate"]
    if all(version.get(key) for key in _HASHED_PATHS):
        steps += ["# the data, out of the DVC cache (elsewhere: dvc pull first)", *_restored(version)]
    # quoted again: the decision may have been written by anyone
    if local := str(provenance.get("local_settings") or ""):
        steps += [
            "# the settings of conf/local, which no commit holds",
            f"mkdir -p conf/local && printf '%s\\n' {shlex.quote(local)} > conf/local/parameters.yml",
        ]
    options = shlex.join(shlex.split(str(provenance.get("run_options") or "")))
    steps += [
        "# the model, as the run was started that trained it; all settings are in its MLflow run, too",
        f"kedro run --pipelines training,evaluation {options}".rstrip(),
    ]
    if weights_sha256:
        check = shlex.quote(f"{weights_sha256}  data/06_models/candidate/weights.safetensors")
        steps += [
            "# on the same kind of CPU the weights are the same to the bit",
            f"echo {check} | sha256sum -c",
        ]
    known = {
        "Git commit": commit
        + {"true": ", with changes that were not committed"}.get(str(provenance.get("git_dirty")), ""),
        "Source (SHA-256)": fact(provenance.get("source_sha256")),
        "requirements.lock (SHA-256)": fact(provenance.get("lock_sha256")),
        "Resolved parameters (SHA-256)": fact(provenance.get("parameters_sha256")),
        "Weights (SHA-256)": fact(weights_sha256),
    }
    blocks: list[Block] = [Code("\n".join(steps), "Commands, in a copy of the project")]
    blocks.append(Facts({key: text for key, text in known.items() if text != NOTHING}))
    return Section("How to make it again", blocks)


def _restored(version: Mapping[str, Any]) -> list[str]:
    """Return shell lines that name the data's hashes in dvc.lock and check them out."""
    outs = [f"    - {{path: {path}, hash: md5, md5: {version[key]}}}" for key, path in _HASHED_PATHS.items()]
    lock = [
        "schema: '2.0'",
        "stages:",
        "  ingestion:",
        "    cmd: kedro run --pipelines ingestion",
        "    outs:",
    ]
    return [
        "cat > dvc.lock <<'END'", *lock, *outs, "END",
        f"dvc checkout --force {' '.join(_HASHED_PATHS.values())}",
        # it had passed validation
        f"mkdir -p data/03_primary && cp {_HASHED_PATHS['manifest_md5']} data/03_primary/admitted_manifest.parquet",
    ]  # fmt: skip


def environment(found: Mapping[str, Mapping[str, str]]) -> Section:
    """Return versions and hardware."""
    system = {title_of(name): text for name, text in (found.get("system") or {}).items()}
    return Section(
        "Environment of the run that judged it", [Facts({**system, **(found.get("versions") or {})})]
    )
