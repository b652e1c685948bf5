"""What is expected of manifest, quarantine and labels, as Great Expectations, built from the parameters.

What concerns a whole class or group is first written beside every image it concerns (`images_of_class`,
`splits_of_group`), so that a failing expectation always names images. What concerns the whole data
set is a figure with a limit (`visionpipe.quality.figures`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from visionpipe.counting import counted
from visionpipe.quality.batches import as_numbers
from visionpipe.quality.claims import between, claim, contains, in_set, matches, not_null, range_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

    from visionpipe.quality.figures import FigureSheet
    from visionpipe.quality.parameters import ValidationParameters

SPLITS = ("train", "validation", "test")
LABEL_ORIGINS = ("import", "review", "correction", "adjudication")
MANIFEST_COLUMNS = (
    *("image_id", "label", "label_confidence", "label_origin", "split", "group_id"),
    *("width", "height", "brightness", "contrast", "sharpness", "entropy", "perceptual_hash"),
    *("source", "arrived_at", "flags", "contradicted"),
)
QUARANTINE_COLUMNS = ("path", "reason")
LABEL_COLUMNS = ("image_id", "label", "label_confidence", "annotator", "labelled_at", "origin")


def describe_manifest(
    manifest: pd.DataFrame,
    labels: pd.Series | None,
    *,
    group_by: str | None = None,
    ranges: Iterable[str] = (),
) -> pd.DataFrame:
    """Return a copy with what concerns an image's class, group and label history beside it.

    Parameters
    ----------
    manifest : DataFrame
        With `MANIFEST_COLUMNS`.
    labels : Series or None
        The label that the history gives each image, by `image_id`; None when there is no usable history.
    group_by : str or None
        The user's own group column, if it is one of the manifest's.
    ranges : iterable of str
        Columns that numbers are expected in (`validation.ranges`).

    Returns
    -------
    DataFrame
        With `images_of_class`, `splits_of_group` (`train`, or `test, train` for a leak), `splits_by_<group_by>` (the
        same for the user's own groups), `label_is_current` (whether the history gives this label) and, for each column
        of `ranges`, `<column>_as_number` and `<column>_is_number` (False where a value is given that is none).
    """
    described = manifest.assign(
        images_of_class=manifest.groupby("label", observed=True)["label"].transform("size"),
        splits_of_group=_splits_of(manifest, "group_id"),
        label_is_current=True if labels is None else manifest["image_id"].map(labels) == manifest["label"],
    )
    if group_by:
        described[f"splits_by_{group_by}"] = _splits_of(manifest, group_by)
    for column in ranges:
        if column in manifest:
            numbers = as_numbers(manifest[column])
            described[f"{column}_as_number"] = numbers
            described[f"{column}_is_number"] = numbers.notna() | manifest[column].isna()
    return described


def describe_labels(label_history: pd.DataFrame, stored_images: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with `image_is_stored`."""
    return label_history.assign(image_is_stored=label_history["image_id"].isin(stored_images["image_id"]))


def _splits_of(manifest: pd.DataFrame, column: str) -> pd.Series:
    """Name, beside each image, all splits that images with its value of `column` are in."""
    pairs = manifest[[column, "split"]].drop_duplicates().dropna()
    leaking = pairs[pairs[column].duplicated(keep=False)].sort_values("split")
    joined = leaking.groupby(column, observed=True)["split"].agg(", ".join)
    return manifest[column].astype(object).map(joined).fillna(manifest["split"])


def manifest_suite(
    frame: pd.DataFrame, parameters: ValidationParameters, *, group_by: str | None = None
) -> list[Expectation]:
    """Return the expectations on the manifest; `frame` comes from `describe_manifest`."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    classes = parameters.classes or sorted(frame["label"].dropna().astype(str).unique())
    fewest = parameters.min_images_per_class
    suite = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, **claim("there is at least one image")),
        *(not_null(column) for column in MANIFEST_COLUMNS),
        gxe.ExpectColumnValuesToBeUnique(column="image_id", **claim("no image is listed twice")),
        matches("image_id", "^[0-9a-f]{64}$", "image_id is a SHA-256: 64 hexadecimal digits"),
        matches("label", r"\S", "no label is blank"),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="label",
            min_value=parameters.min_classes,
            **claim(f"there are {parameters.min_classes} classes or more (validation.min_classes)"),
        ),
        between("label_confidence", 0, 1),
        in_set("label_origin", LABEL_ORIGINS),
        in_set("split", SPLITS),
        in_set("splits_of_group", SPLITS, "no group has images in two splits"),
        in_set("label_is_current", [True], "each label is the one that the label history gives"),
        between("width", 1, None),
        between("height", 1, None),
        between("brightness", 0, 255),
        between("contrast", 0, 127.5),
        between("sharpness", 0, None),
        between("entropy", 0, 8),
        between(
            "images_of_class",
            fewest,
            None,
            f"each class has {counted(fewest, 'image')} or more (validation.min_images_per_class)",
        ),
        between(
            "images_of_class",
            parameters.warn_images_per_class,
            None,
            f"advice: each class has {counted(parameters.warn_images_per_class, 'image')} or more, or its figures "
            "are uncertain (validation.warn_images_per_class)",
            severity="warning",
        ),
    ]
    if group_by:
        text = f"no {group_by} has images in two splits (ingestion.split.group_by)"
        suite.append(in_set(f"splits_by_{group_by}", SPLITS, text))
    if parameters.classes is not None:
        suite.append(in_set("label", classes, "each label is one of validation.classes"))
    suite += [
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="label",
            value_set=classes,
            row_condition=Column("split") == split,
            severity=severity,
            **claim(f"each class has an image in split {split}"),
        )
        for split, severity in (("train", "critical"), ("validation", "warning"), ("test", "critical"))
        if classes
    ]
    for column, values in parameters.required_attributes.items():
        name = f"validation.required_attributes.{column}"
        if column in frame:
            suite.append(contains(column, values, f"each value of {name} is there"))
        else:
            suite.append(gxe.ExpectColumnToExist(column=column, **claim(f"{name} is a column")))
    suite += [
        gxe.ExpectColumnToExist(column=column, **claim(f"validation.batch.columns: {column} is a column"))
        for column in parameters.batch.columns
        if column not in frame
    ]
    for column, limits in parameters.ranges.items():
        name = f"validation.ranges.{column}"
        if column in frame:
            text = f"{range_text(column, limits.min, limits.max)} ({name})"
            suite += [
                in_set(f"{column}_is_number", [True], f"each value of {column} is a number ({name})"),
                between(f"{column}_as_number", limits.min, limits.max, text),
            ]
        else:
            suite.append(gxe.ExpectColumnToExist(column=column, **claim(f"{name} is a column")))
    return suite


def quarantine_suite(n_images: int, parameters: ValidationParameters) -> list[Expectation]:
    """Return the expectations on the quarantine beside a store of `n_images`."""
    import great_expectations.expectations as gxe

    share = parameters.max_quarantined_share
    suite = [not_null(column) for column in QUARANTINE_COLUMNS]
    if share < 1:
        # q / (n + q) <= share  <=>  q <= n share / (1 - share); the epsilon keeps 0.2 of 5 inputs at 1
        most = math.floor(n_images * share / (1 - share) + 1e-9)
        text = f"at most {share:.4g} of all inputs are in the quarantine (validation.max_quarantined_share)"
        suite.append(gxe.ExpectTableRowCountToBeBetween(max_value=most, **claim(text)))
    return suite


def label_suite() -> list[Expectation]:
    """Return the expectations on the label history; its frame comes from `describe_labels`.

    Nothing is said of the time: a pipeline reads no clock, and reviews are younger than every photo.
    """
    return [
        *(not_null(column) for column in LABEL_COLUMNS),
        matches("label", r"\S", "no label is blank"),
        matches("annotator", r"\S", "no annotator is blank"),
        between("label_confidence", 0, 1),
        in_set("origin", LABEL_ORIGINS),
        in_set(
            "image_is_stored",
            [True],
            "each label belongs to an image in the store (a killed ingestion leaves some; the next one completes it)",
            severity="warning",
        ),
    ]


def figure_suite(sheet: FigureSheet) -> list[Expectation]:
    """Return the limits on the figures about the whole data set."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="value",
            min_value=limit.low,
            max_value=limit.high,
            row_condition=Column("kind") == limit.kind,
            severity=limit.severity,
            **claim(limit.text),
        )
        for limit in sheet.limits
    ]


def missing_columns_suite(columns: tuple[str, ...]) -> list[Expectation]:
    """Return the one expectation that makes sense on a table that lacks some of `columns`."""
    import great_expectations.expectations as gxe

    text = "the table has all its columns"
    return [gxe.ExpectTableColumnsToMatchSet(column_set=list(columns), exact_match=False, **claim(text))]
