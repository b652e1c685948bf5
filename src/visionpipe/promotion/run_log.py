"""What a run tells MLflow of itself: parameters, curves; and that it goes on when MLflow does not listen."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from visionpipe.errors import first_line

logger = logging.getLogger(__name__)
_NAME_CHARACTERS = 250  # as many as MLflow allows
_BATCH_METRICS = 1000  # as many as it takes in one call


@contextmanager
def telling_mlflow(what: str) -> Iterator[None]:
    """Warn where MLflow takes no note of a run: what was computed counts, and an error must come through."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        logger.warning("MLflow has not taken note of %s: %s", what, first_line(error))


def log_curves(curves: dict[str, Any]) -> None:
    """Log every number and flag of every epoch, a batch at a time; words (the phases) are for the report.

    Those of the head's fit (`visionpipe.models.training.curves.Curves`) are named `head_...`.
    """
    import mlflow
    from mlflow.entities import Metric

    run = mlflow.active_run()
    assert run is not None, "a run is begun before the first node"
    now_ms = int(time.time() * 1000)
    points = [
        Metric(prefix + name, float(value), now_ms, epoch)
        for prefix, lists in (("", curves), ("head_", curves.get("head") or {}))
        for name, values in lists.items()
        if name not in {"epoch", "head"}
        for epoch, value in zip(lists["epoch"], values, strict=True)
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    for start in range(0, len(points), _BATCH_METRICS):
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=points[start : start + _BATCH_METRICS])


def flat_parameters(parameters: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested parameters, with what MLflow takes for a name.

    Examples
    --------
    >>> flat_parameters({"ingestion": {"min_side_px": 32, "holdout": {"camera (new)": ["c7"]}}})
    {'ingestion.min_side_px': 32, 'ingestion.holdout.camera _new_': ['c7']}
    """
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        name = re.sub(r"[^\w .:/-]", "_", f"{prefix}{key}")[:_NAME_CHARACTERS]
        if isinstance(value, dict) and value:
            flat.update(flat_parameters(value, f"{name}."))
        else:
            flat[name] = value
    return flat
