"""What a model card is written from: realistic facts and a decision, with every optional part or without."""

from __future__ import annotations

LEVEL = 0.95
HASHES = {"store_md5": "a" * 32 + ".dir", "labels_md5": "b" * 32 + ".dir", "manifest_md5": "c" * 32}


def found(estimate, half=0.03):
    return {
        "estimate": estimate,
        "low": max(0.0, estimate - half),
        "high": min(1.0, estimate + half),
        "level": LEVEL,
    }


def card_facts(**changes):
    """Facts with everything in them; `name=None` leaves a part out."""
    facts = {
        "card": {
            "purpose": "Finds defective solar cells before they are soldered.",
            "owner": "Quality team, cells@example.invalid",
            "intended_use": ["Cells of line 3, photographed by camera A."],
            "out_of_scope": ["Modules that are already on a roof."],
            "limitations": ["Half cells have never been tried."],
        },
        "evaluation": {
            "n": 270,
            "title": "Evaluation on unseen images",
            "classes": ["defective", "functional"],
            "model": {
                "backbone": "efficientnet-lite0", "weights": "auto", "image_size_px": 192, "temperature": 1.21,
                "deferral_confidence": 0.83, "decision": {}, "trained_stages": "all", "epochs": 10,
                "n_parameters": 3_400_000,
            },
            "metrics": {
                "accuracy": found(0.87),
                "balanced_accuracy": found(0.86),
                "auroc": found(0.937),
                "ece": {"estimate": 0.041, "low": 0.012, "high": 0.053, "level": LEVEL},
                "log_loss": {"estimate": 1.43, "low": 1.2, "high": 1.9, "level": LEVEL},
            },
            "per_class": {
                "defective": {"n": 12, "recall": found(0.8, 0.2), "precision": found(0.7), "verdict": "judged"},
                "functional": {"n": 258, "recall": found(0.9), "precision": found(0.95), "verdict": "judged"},
            },
            "slices": {
                "module": {
                    "A": {"n": 240, "accuracy": found(0.89), "verdict": "judged"},
                    "B": {"n": 22, "accuracy": found(0.61, 0.2), "verdict": "judged"},
                    "C": {
                        "n": 8,
                        "accuracy": found(0.5, 0.4),
                        "verdict": "too few images to judge",
                    },
                }
            },
            "slice_pairs": [
                {"name": "Module = B, cell type = poly", "n": 12, "metric": "accuracy", **found(0.58, 0.25),
                 "verdict": "too few images to judge"},
            ],
            "worst_slice": {"name": "Module = B", "n": 22, "accuracy": found(0.61, 0.2)},
            "demo_notice": None,
        },
        "examination": {
            "sample": {"n": 24},
            "corruptions": {
                "blur": [found(value, 0.1) for value in (0.87, 0.83, 0.71, 0.62, 0.55)],
                "jpeg": [found(0.87, 0.1)] * 5,
            },
            "surely_worse_from": {"blur": 3, "jpeg": None},
            "adversarial": {
                "n": 12, "accuracy": found(0.9, 0.1), "fgsm": [{"epsilon": 0.5, "accuracy": found(0.5, 0.1)}],
            },
            "out_of_distribution": {
                "n": 60, "origin": "drawn pictures", "max_probability": {"auroc": found(0.91)},
                "energy": {"auroc": found(0.95)}, "deferred": found(0.8),
            },
            "shortcuts": [
                {"name": "border of the photo", "balanced_accuracy": found(0.71), "guessing": 0.5,
                 "verdict": "predicts the label"},
                {"name": "file size", "balanced_accuracy": found(0.51), "guessing": 0.5, "verdict": "no sign"},
            ],
            "size": {"megabytes": 13.6, "parameters": 3_400_000},
            "speed": {"latency_ms_p50": 7.1, "latency_ms_p95": 9.8, "images_per_s": 160.0, "threads": 2},
        },
        "validation": {"n_images": 1074, "n_quarantined": 3, "n_contradicted": 2, "warnings": ["Few of B."]},
        "composition": {
            "n_images": 1074,
            "n_groups": 1001,
            "by_class": {
                "train": {"defective": 200, "functional": 440},
                "validation": {"defective": 50, "functional": 114},
                "test": {"defective": 12, "functional": 258},
            },
            "by_source": {"train": {"line_3": 640}, "validation": {"line_3": 164}, "test": {"line_3": 270}},
            "captured": ["2025-11-03", "2025-12-19"],
            "arrived": ["2026-01-05", "2026-01-05"],
            "attributes": {"cell_type": {"mono": 1000, "not stated": 74}},
        },
        "privacy": {
            "purpose": "Sorting cells", "lawful_basis": "legitimate interest", "retention": "2 years",
            "informed": "staff, by notice", "strip_metadata": True, "blur_faces": True,
        },
        "environment": {"system": {"python": "3.12.1", "cores": "2"}, "versions": {"torch": "2.11.0"}},
        "written_on": "2026-01-06",
        "weights_sha256": "d" * 64,
    }  # fmt: skip
    return {name: part for name, part in {**facts, **changes}.items() if part is not None}


def card_decision(**changes):
    """A promotion that beat version 6, as decision.json holds it."""

    def check(name, kind, value, half, limit, passed, detail=""):
        return {
            "name": name, "kind": kind, "value": value, "low": value - half, "high": value + half,
            "limit": limit, "p_value": 0.004, "passed": passed, "detail": detail or name, "blocking": True,
        }  # fmt: skip

    return {
        "outcome": "promote",
        "reason": "Proven better: balanced accuracy +0.034 (+0.010 to +0.058), and nothing is proven worse.",
        "metric": "balanced_accuracy",
        "champion_version": "6",
        "challenger_version": "7",
        "alias": "champion",
        "model_name": "cells",
        "n_test_images": 270,
        "images_needed": None,
        "checks": [
            check("gain in balanced accuracy", "gain", 0.034, 0.024, 0.0, True),
            check("recall[defective] >= 0.5", "acceptance", 0.8, 0.2, 0.5, True),
            check("J[functional]", "non_inferiority", 0.0, 0.08, -0.05, None, "30 images"),
        ],
        "wear": {
            "n_images": 270, "n_fresh": 40, "mean_uses": 1.7, "most_uses": 2, "comparison": 3, "planned": 12,
        },
        "provenance": {
            "git_commit": "e" * 40, "git_dirty": "false", "parameters_sha256": "1" * 64,
            "lock_sha256": "2" * 64, "source_sha256": "3" * 64,
        },
        "data": {**HASHES, "n_images": 1074, "labels_by_origin": {"import": 1074, "review": 20}},
        "demo_notice": None,
        **changes,
    }  # fmt: skip
