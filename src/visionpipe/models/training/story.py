"""What is told of a training once it has ended, in the log of the run and on its page."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from visionpipe.models.training.selection import unjudged_classes

if TYPE_CHECKING:
    from visionpipe.models.classifier import ImageClassifier
    from visionpipe.models.training.curves import Curves
    from visionpipe.models.training.frozen_trunk import LabelledPixels
    from visionpipe.models.training.recipe import Choice


def story(
    classifier: ImageClassifier,
    curves: Curves,
    choices: list[Choice],
    training: LabelledPixels,
    validation: LabelledPixels,
) -> dict[str, Any]:
    """Gather what is told of a training, as plain values.

    Parameters
    ----------
    classifier : ImageClassifier
        Trained; `requires_grad` says what moved.
    curves, choices : Curves and list of Choice
        What was measured by epoch, and chosen by `resolve`.
    training, validation : LabelledPixels
        Images.

    Returns
    -------
    dict
        Keys of `visionpipe.reports.training_page.training_page`: `curves, moved, recipe, kept_epoch,
        n_validation_images` and `unjudged_classes`.
    """
    parts = [
        (f"stage {i} ({type(stage).__name__})", list(stage.parameters()))
        for i, stage in enumerate(classifier.stages)
    ] + [("head", list(classifier.head.parameters()))]
    return {
        "curves": asdict(curves),
        "moved": [
            {
                "part": part,
                "n_parameters": sum(weight.numel() for weight in weights),
                "moved": any(weight.requires_grad for weight in weights),
            }
            for part, weights in parts
            if weights
        ],
        "recipe": [
            {"name": f"training.{choice.name}", "value": choice.value, "why": choice.why}
            for choice in choices
        ],
        "kept_epoch": None if curves.kept is None else curves.epoch[curves.kept],
        "n_validation_images": len(validation),
        "unjudged_classes": [
            classifier.spec.classes[k] for k in unjudged_classes(training.targets_NK, validation.targets_NK)
        ],
    }
