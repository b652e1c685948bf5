"""What is expected of the manifest and the quarantine, as Great Expectations, built from the parameters.

What concerns a whole class or group is first written beside every image it concerns (`images_of_class`,
`splits_of_group`), so that a failing expectation always names images.
"""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

    from visionpipe.quality.parameters import ValidationParameters

SPLITS = ("train", "validation", "test")
LABEL_ORIGINS = ("import", "review", "correction", "adjudication")
MANIFEST_COLUMNS = (
    *("image_id", "label", "label_confidence", "label_origin", "split", "group_id"),
    *("width", "height", "brightness", "perceptual_hash"),
)
QUARANTINE_COLUMNS = ("path", "reason")


def describe_groups(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with `images_of_class` and `splits_of_group` (`train`, or `test, train` for a leak)."""
    pairs = manifest[["group_id", "split"]].drop_duplicates().dropna()
    leaking = pairs[pairs["group_id"].duplicated(keep=False)].sort_values("split")
    joined = leaking.groupby("group_id")["split"].agg(", ".join)
    return manifest.assign(
        images_of_class=manifest.groupby("label", observed=True)["label"].transform("size"),
        splits_of_group=manifest["group_id"].map(joined).fillna(manifest["split"]),
    )


def manifest_suite(frame: pd.DataFrame, parameters: ValidationParameters) -> list[Expectation]:
    """Return the expectations on the manifest; `frame` comes from `describe_groups`."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    classes = parameters.classes or sorted(frame["label"].dropna().astype(str).unique())
    fewest = parameters.min_images_per_class
    suite = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, **_claim("there is at least one image")),
        *(_not_null(column) for column in MANIFEST_COLUMNS),
        gxe.ExpectColumnValuesToBeUnique(column="image_id", **_claim("no image is listed twice")),
        _matches("image_id", "^[0-9a-f]{64}$", "image_id is a SHA-256: 64 hexadecimal digits"),
        _matches("label", r"\S", "no label is blank"),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="label",
            min_value=parameters.min_classes,
            **_claim(f"there are {parameters.min_classes} classes or more (validation.min_classes)"),
        ),
        _between("label_confidence", 0, 1),
        _in_set("label_origin", LABEL_ORIGINS),
        _in_set("split", SPLITS),
        _in_set("splits_of_group", SPLITS, "no group has images in two splits"),
        _between("width", 1, None),
        _between("height", 1, None),
        _between("brightness", 0, 255),
        _between(
            "images_of_class",
            fewest,
            None,
            f"each class has {fewest} images or more (validation.min_images_per_class)",
        ),
        _between(
            "images_of_class",
            parameters.warn_images_per_class,
            None,
            f"advice: each class has {parameters.warn_images_per_class} images or more, or its figures "
            "are uncertain (validation.warn_images_per_class)",
            severity="warning",
        ),
    ]
    if parameters.classes is not None:
        suite.append(_in_set("label", classes, "each label is one of validation.classes"))
    suite += [
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="label",
            value_set=classes,
            row_condition=Column("split") == split,
            severity=severity,
            **_claim(f"each class has an image in split {split}"),
        )
        for split, severity in (("train", "critical"), ("validation", "warning"), ("test", "critical"))
        if classes
    ]
    for column, values in parameters.required_attributes.items():
        name = f"validation.required_attributes.{column}"
        if column in frame:
            suite.append(_contains(column, values, f"each value of {name} is there"))
        else:
            suite.append(gxe.ExpectColumnToExist(column=column, **_claim(f"{name} is a column")))
    for column, limits in parameters.ranges.items():
        name = f"validation.ranges.{column}"
        if column in frame:
            suite.append(
                _between(
                    column, limits.min, limits.max, f"{_range_text(column, limits.min, limits.max)} ({name})"
                )
            )
        else:
            suite.append(gxe.ExpectColumnToExist(column=column, **_claim(f"{name} is a column")))
    return suite


def quarantine_suite(n_images: int, parameters: ValidationParameters) -> list[Expectation]:
    """Return the expectations on the quarantine beside a store of `n_images`."""
    import great_expectations.expectations as gxe

    share = parameters.max_quarantined_share
    suite = [_not_null(column) for column in QUARANTINE_COLUMNS]
    if share < 1:
        # q / (n + q) <= share  <=>  q <= n share / (1 - share); the epsilon keeps 0.2 of 5 inputs at 1
        most = math.floor(n_images * share / (1 - share) + 1e-9)
        text = f"at most {share:.4g} of all inputs are in the quarantine (validation.max_quarantined_share)"
        suite.append(gxe.ExpectTableRowCountToBeBetween(max_value=most, **_claim(text)))
    return suite


def missing_columns_suite(columns: tuple[str, ...]) -> list[Expectation]:
    """Return the one expectation that makes sense on a table that lacks some of `columns`."""
    import great_expectations.expectations as gxe

    claim = _claim("the table has all its columns")
    return [gxe.ExpectTableColumnsToMatchSet(column_set=list(columns), exact_match=False, **claim)]


def _claim(text: str) -> dict[str, Any]:
    """Say what is expected in the user's words; Data Docs print `description` as raw HTML."""
    return {"description": html.escape(text), "meta": {"claim": text}}


def _not_null(column: str) -> Expectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToNotBeNull(column=column, **_claim(f"{column} is always given"))


def _matches(column: str, regex: str, text: str) -> Expectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=regex, **_claim(text))


def _in_set(column: str, values: tuple[str, ...] | list[str], text: str | None = None) -> Expectation:
    import great_expectations.expectations as gxe

    text = text or f"{column} is one of {', '.join(values)}"
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values), **_claim(text))


def _contains(column: str, values: list[str], text: str) -> Expectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnDistinctValuesToContainSet(column=column, value_set=values, **_claim(text))


def _between(
    column: str, low: float | None, high: float | None, text: str | None = None, severity: str = "critical"
) -> Expectation:
    import great_expectations.expectations as gxe

    text = text or _range_text(column, low, high)
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, severity=severity, **_claim(text)
    )


def _range_text(column: str, low: float | None, high: float | None) -> str:
    """Say a closed range in words.

    >>> _range_text("brightness", 0, 255), _range_text("width", 1, None), _range_text("n", None, 2.5)
    ('brightness is within 0..255', 'width is 1 or more', 'n is 2.5 or less')
    """
    if low is None:
        return f"{column} is {high:g} or less"
    if high is None:
        return f"{column} is {low:g} or more"
    return f"{column} is within {low:g}..{high:g}"
