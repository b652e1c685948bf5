"""Champion against challenger: both scored again on the same test images, then the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from visionpipe.errors import VisionpipeError, first_line
from visionpipe.images.manifest import attribute_columns
from visionpipe.images.prepare import decode_batches
from visionpipe.images.store import ImageReader
from visionpipe.metrics.evaluation import codes_of
from visionpipe.models.candidate import Candidate
from visionpipe.models.classifier import Predictions
from visionpipe.models.training.memory import is_out_of_memory
from visionpipe.promotion.candidate_files import require_papers_of
from visionpipe.promotion.comparisons import basis_of
from visionpipe.promotion.decision import Decision
from visionpipe.promotion.gate import judge, refuse
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.wear import Comparison, wear_of

if TYPE_CHECKING:
    from visionpipe.promotion.challenge import Judge, Papers
    from visionpipe.promotion.registry import Champion, Promotion, Registry


def contest(
    registry: Registry,
    candidate: Candidate,
    evaluation: dict,
    manifest: pd.DataFrame,
    read: ImageReader,
    tags: Mapping[str, str],
    parameters: PromotionParameters,
    *,
    examination: Mapping[str, Any] | None = None,
    papers: Papers | None = None,
) -> Promotion:
    """Let the candidate challenge whoever is champion now.

    Parameters
    ----------
    registry : Registry
        Where the champion is, and where a winner is registered.
    candidate : Candidate
        The challenger.
    evaluation : dict
        Its evaluation, kept with the version.
    manifest : DataFrame
        Its test split is the common test set.
    read : ImageReader
        Streams image bytes.
    tags : mapping
        Provenance of the challenger.
    parameters : PromotionParameters
        Metric, margins and limits.
    examination : mapping or None
        Its examination: where a limit on its speed finds the measured time.
    papers : callable or None
        Further files of a version, given the decision.

    Raises
    ------
    VisionpipeError
        When evaluation or examination are of another model; else as `Registry.promote`.
    """
    test = manifest[manifest["split"] == "test"]
    require_papers_of(candidate, {"evaluation": evaluation, "examination": examination})
    speed = (examination or {}).get("speed") or {}
    latency = speed.get("latency_ms_p95"), (speed.get("latency_ms_p95_interval") or {}).get("high")
    return registry.promote(
        judge_of(test, read, candidate, parameters, latency_ms_p95=latency),
        mode=parameters.mode,
        evaluation=evaluation,
        tags=tags,
        test_image_ids=test["image_id"].tolist(),
        metric=parameters.metric,
        papers=papers,
        candidate=candidate,
        basis_sha256=basis_of(test, parameters),
    )


@dataclass(frozen=True)
class _Contestant:
    """What a model says of the test images, and what it has learned from."""

    classes: list[str]
    says: Predictions
    seen_ids: set[str]
    seen_groups: set[str]

    def probabilities(self, classes: list[str]) -> np.ndarray:
        """Spread the columns over the union of classes; a class it does not know has probability 0."""
        aligned_NK = np.zeros((len(self.says.labels), len(classes)))
        aligned_NK[:, [classes.index(name) for name in self.classes]] = self.says.probabilities_NK
        return aligned_NK

    def decided(self, classes: list[str]) -> np.ndarray:
        """Return what its decision rule says, as codes of `classes`."""
        return np.array([classes.index(label) for label in self.says.labels], dtype=np.int64)


def judge_of(
    test: pd.DataFrame,
    read: ImageReader,
    challenger: Candidate,
    parameters: PromotionParameters,
    *,
    latency_ms_p95: float | tuple[float | None, float | None] | None = None,
) -> Judge:
    """Return the gate as a function of the champion and the earlier comparisons.

    The challenger's predictions are made once. A champion that fails on these images is a verdict, as one that cannot
    be read is: the challenger is not promoted. Where only memory runs out, there is none (`VisionpipeError`).
    """
    newcomer = _contestant(challenger, test, read)

    def decide(champion: Champion | None, earlier: Sequence[Comparison] = ()) -> Decision:
        incumbent, version = None, champion.version if champion else None
        if champion is not None:
            try:
                incumbent = _contestant(champion.candidate, test, read)
            except (RuntimeError, MemoryError, ValueError, TypeError, LookupError, AttributeError) as error:
                if is_out_of_memory(error):  # says nothing of the champion
                    raise VisionpipeError(
                        f"memory ran out while the champion (version {version}) predicted the test images: "
                        "free some and run the promotion again"
                    ) from error
                return refuse(
                    "champion can predict",
                    f"the champion (version {version}) fails on the test images: {first_line(error)}; put another "
                    "version in its place (visionpipe rollback)",
                    n_images=len(test),
                    champion_version=version,
                    metric=parameters.metric,
                )
        both = [newcomer, *([incumbent] if incumbent else [])]
        classes = sorted({*test["label"], *(name for each in both for name in each.classes)})
        return judge(
            labels_N=codes_of(test["label"], classes),
            classes=classes,
            image_ids_N=test["image_id"],
            group_ids_N=test["group_id"],
            challenger_probabilities_NK=newcomer.probabilities(classes),
            champion_probabilities_NK=incumbent.probabilities(classes) if incumbent else None,
            challenger_decided_N=newcomer.decided(classes),
            champion_decided_N=incumbent.decided(classes) if incumbent else None,
            slices={column: test[column].to_numpy() for column in attribute_columns(test)},
            champion_seen_ids=incumbent.seen_ids if incumbent else set(),
            challenger_seen_ids=newcomer.seen_ids,
            champion_seen_groups=incumbent.seen_groups if incumbent else set(),
            challenger_seen_groups=newcomer.seen_groups,
            champion_classes=incumbent.classes if incumbent else None,
            challenger_classes=newcomer.classes,
            parameters=parameters,
            champion_version=version,
            wear=wear_of(
                test["image_id"], earlier, planned=parameters.planned_comparisons, alpha=parameters.alpha
            ),
            latency_ms_p95=latency_ms_p95,
        )

    return decide


def _contestant(model: Candidate, test: pd.DataFrame, read: ImageReader) -> _Contestant:
    seen = model.seen
    return _Contestant(
        list(model.classifier.spec.classes),
        _predictions(model, test, read),
        set(seen["image_id"]),
        set(seen["group_id"]),
    )


def _predictions(model: Candidate, test: pd.DataFrame, read: ImageReader) -> Predictions:
    """Predict the test images at the model's own size, in the order of `test`."""
    image_ids = test["image_id"].tolist()
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    ids: list[str] = []

    def pixels():  # noqa: ANN202 - a local stream
        for batch_ids, pixels_BHWC in decode_batches(read, image_ids, model.classifier.spec.image_size_px):
            ids.extend(batch_ids)
            yield pixels_BHWC

    return model.classifier.predict_batches(pixels()).take(np.argsort([row_of[image_id] for image_id in ids]))


def report(
    promotion: Promotion, model_name: str, provenance: Mapping[str, str], data: dict, notice: str | None
) -> dict:
    """Put the outcome of a promotion into one JSON-safe dictionary, for the report and the record."""
    return {
        **promotion.decision.as_dict(),
        "model_name": model_name,
        "challenger_version": promotion.version,
        "alias": promotion.alias,
        "provenance": dict(provenance),
        "data": data,
        "demo_notice": notice,
    }
