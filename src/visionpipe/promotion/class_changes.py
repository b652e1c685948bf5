"""Classes that only one of the two models knows: what became of them is decided by rule, not by chance.

- A class that only the champion knows has vanished: `promotion.vanished_classes` rejects, or allows it.
- A class that only the challenger knows is new: `promotion.new_classes` rejects it, or allows it to one that finds the
  class better than by chance (Youden's J above 0 at its confidence bound); its recall may have an acceptance limit too.
"""

from __future__ import annotations

import numpy as np

from visionpipe.promotion.checks import ScoredImages, images_needed, z_of
from visionpipe.promotion.decision import Check
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.stats.youden import youden_difference


def class_changes(test: ScoredImages, parameters: PromotionParameters) -> list[Check]:
    """Return a check for each class that only one of the two models knows."""
    vanished = [name for name in test.champion_classes if name not in test.challenger_classes]
    new = [name for name in test.challenger_classes if name not in test.champion_classes]
    return [_vanished(name, parameters) for name in vanished] + [_new(name, test, parameters) for name in new]


def _vanished(name: str, parameters: PromotionParameters) -> Check:
    detail = f"the challenger does not know class {name!r}, which the champion knows"
    if parameters.vanished_classes == "allow":
        return Check(
            name=f"class {name} is given up",
            kind="class_change",
            passed=None,
            detail=f"{detail}; that is allowed (promotion.vanished_classes), and nothing guards this class",
            blocking=False,
        )
    detail += "; train with images of it, or allow it (promotion.vanished_classes)"
    return Check(name=f"class {name} is still known", kind="class_change", passed=False, detail=detail)


def _new(name: str, test: ScoredImages, parameters: PromotionParameters) -> Check:
    title, alpha = f"new class {name}", parameters.alpha
    if parameters.new_classes == "reject":
        detail = f"the champion does not know class {name!r}; allow new classes (promotion.new_classes)"
        return Check(name=title, kind="class_change", passed=False, detail=detail)
    labelled_N = test.labels_N == test.classes.index(name)
    n_labelled = int(labelled_N.sum())
    if n_labelled < parameters.min_slice_images:
        detail = f"too few images to judge: {n_labelled} of the {parameters.min_slice_images} needed"
        return Check(name=title, kind="class_change", passed=None, detail=detail, blocking=False)
    called_N = test.challenger_N == test.classes.index(name)
    never_N = np.zeros(len(called_N), dtype=bool)  # whoever does not know a class has J = 0
    found = youden_difference(never_N, called_N, labelled_N, test.group_ids_N, level=parameters.level)
    low, high = found.interval(parameters.level)
    p_value = found.p_inferior(0.0)
    return Check(
        name=title,
        kind="class_change",
        value=found.difference,
        low=low,
        high=high,
        limit=0.0,
        p_value=p_value,
        passed=True if p_value <= alpha else False if found.difference <= 0 else None,
        detail=f"the challenger finds {called_N[labelled_N].mean():.0%} of its {n_labelled} test images and gives its "
        f"name to {called_N[~labelled_N].mean():.1%} of the others (Youden's J {found.difference:.2f}, by chance 0)",
        images_needed=images_needed(len(labelled_N), z_of(p_value), alpha),
    )
