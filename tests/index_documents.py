"""What the JSON files say that the index reads, as short as they may be."""

FOUND = {"estimate": 0.912, "low": 0.881, "high": 0.938, "level": 0.95, "n": 60}
MODEL = {
    "backbone": "timm/resnet18",
    "trained_stages": "stages 4-5 and head",
    "epochs": 12,
    "weights_sha256": "a" * 64,
}
DECISION = {
    "reason": "Proven better.",
    "outcome": "promote",
    "metric": "balanced_accuracy",
    "model_name": "cells",
    "champion_version": "1",
    "challenger_version": "2",
    "alias": "champion",
    "checks": [{"kind": "gain", "name": "gain in AUROC", "value": 0.01, "low": -0.004, "high": 0.024}],
    "provenance": {"git_commit": "abc"},
    "data": {"manifest_md5": "def", "n_images": 60, "labels_by_origin": {"import": 60}},
}
DATED = DECISION | {"decided_on": "2026-01-06", "model": MODEL}
VALIDATION = {"n_images": 60, "n_quarantined": 0, "warnings": [], "success": True}
FAILED = VALIDATION | {"success": False, "failures": [{"detail": "too few of B"}]}
NEWER = {"model": MODEL | {"weights_sha256": "b" * 64}, "started_at": "2026-02-03T10:20:30+00:00"}


def documents(**changes):
    """What a whole run leaves; `name=None` takes a document away."""
    found = {
        "decision": DECISION,
        "evaluation": {"n": 60, "metrics": {"accuracy": FOUND}, "model": MODEL},
        "training_summary": {"model": MODEL},
        "validation": VALIDATION,
        **changes,
    }
    return {name: document for name, document in found.items() if document is not None}
