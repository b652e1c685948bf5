"""What validation measured, whatever the limits say: numbers for `dvc metrics diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visionpipe.quality.batches import add_batch, compare_newest_batch
from visionpipe.quality.figures import (
    FigureSheet,
    add_class_shares,
    add_coverage,
    add_flags,
    add_groups,
    count_flags,
    why_not_judged,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from visionpipe.quality.agreement import Agreement
    from visionpipe.quality.parameters import AgreementParameters, ValidationParameters

NAMED_CONTRADICTIONS = 10


def add_manifest_figures(
    sheet: FigureSheet, manifest: pd.DataFrame, parameters: ValidationParameters
) -> dict[str, Any]:
    """Put all figures of the manifest on the sheet; return what was measured."""
    add_class_shares(sheet, manifest, parameters)
    add_coverage(sheet, manifest, parameters)
    add_groups(sheet, manifest, parameters)
    add_flags(sheet, manifest, parameters)
    batch = compare_newest_batch(manifest, parameters.batch)
    add_batch(sheet, batch, parameters.batch)
    per_class = manifest["label"].dropna().astype(str).value_counts().sort_index()
    return {
        "n_classes": len(per_class),
        "n_flagged": int((manifest["flags"].fillna("") != "").sum()),
        "n_groups": int(manifest["group_id"].nunique()),
        "images_per_class": {name: int(n) for name, n in per_class.items()},
        "flags": count_flags(manifest),
        "batch": batch.as_dict(),
    }


def agreement_facts(
    agreements: Sequence[Agreement], disagreements: Sequence[dict[str, Any]], parameters: AgreementParameters
) -> dict[str, Any]:
    """Return how far annotators agree, and the first contradictions by name."""
    still_open = [each for each in disagreements if not each["settled"]]
    alpha, *kappas = agreements
    return {
        "n_contradicted": len(still_open),
        "n_settled": len(disagreements) - len(still_open),
        "contradictions": still_open[:NAMED_CONTRADICTIONS],
        "agreement": {
            "krippendorff_alpha": alpha.as_dict(),
            "kappas": [kappa.as_dict() for kappa in kappas],
            "not_judged": why_not_judged(alpha, parameters),
        },
    }
