"""The page that links every report of a run."""

from __future__ import annotations

from typing import Any

from visionpipe.reports.pages import index_page
from visionpipe.reports.wording import interval


def run_index(decision: dict[str, Any], evaluation: dict[str, Any], validation_result: dict[str, Any]) -> str:
    """Render the index of a run.

    Parameters
    ----------
    decision, evaluation, validation_result : dict
        What promotion, evaluation and validation wrote.

    Returns
    -------
    str
        A whole HTML document; its links are relative to data/08_reporting.
    """
    accuracy, model = evaluation["metrics"]["accuracy"], evaluation["model"]
    n_images, n_warnings = validation_result["n_images"], len(validation_result["warnings"])
    n_contradicted = validation_result.get("n_contradicted")
    disputes = f", {n_contradicted} with contradictory labels" if n_contradicted else ""
    links = [
        {
            "title": "Decision",
            "path": "decision.html",
            "summary": decision["reason"],
            "status": decision["outcome"],
        },
        {
            "title": "Evaluation",
            "path": "evaluation.html",
            "summary": f"{evaluation['n']} test images, accuracy {interval(accuracy)}",
        },
        {
            "title": "Training",
            "path": "training.html",
            "summary": f"{model['backbone']}, trained: {model['trained_stages']}, {model['epochs']} epochs",
        },
        {
            "title": "Data validation",
            "path": "data_docs/index.html",
            "summary": f"{n_images} images{disputes}, {validation_result['n_quarantined']} quarantined, "
            f"{n_warnings} warnings",
            "status": "passed" if validation_result["success"] else "failed",
        },
    ]
    version = decision["challenger_version"]
    registered = f"{decision['model_name']} v{version} ({decision['alias']})" if version else "nothing"
    headline = {
        "title": f"{decision['model_name']}: reports of this run",
        "summary": decision["reason"],
        "status": decision["outcome"],
        "registered": registered,
        "test accuracy": accuracy,
        "manifest": decision["data"]["manifest_md5"][:12],
        "git commit": decision["provenance"]["git_commit"][:12],
    }
    return index_page(links, headline)
