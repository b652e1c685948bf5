import pandas as pd
import pytest
from pydantic import ValidationError

from quality_tables import judge, make_manifest
from visionpipe.quality.parameters import BatchParameters, ValidationParameters, ValueRange


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_image_per_class": 3}, "min_image_per_class"),
        ({"min_images_per_class": 0}, "greater than or equal to 1"),
        ({"max_quarantined_share": 1.5}, "less than or equal to 1"),
        ({"classes": ["a", "a"]}, "named more than once: a"),
        ({"classes": ["a"]}, "min_classes is 2"),
        ({"ranges": {"width": {}}}, "give min, max or both"),
        ({"ranges": {"width": {"min": 3, "max": 2}}}, "min 3 is above max 2"),
        ({"label_share": {"cat": {"max": 5}}}, "label_share.cat: a share lies within 0..1"),
        ({"group_severity": "fatal"}, "'warning' or 'error'"),
        ({"agreement": {"min_alpha": 1.1}}, "less than or equal to 1"),
        ({"agreement": {"min_images": 1}}, "greater than or equal to 2"),
        ({"batch": {"outside_quantile": 0.5}}, "less than 0.5"),
        ({"batch": {"alpha": 0}}, "greater than 0"),
        ({"batch": {"alpha": 1e-5}}, "can never show drift of rare classes in 5 tests; give 5e-05 or more"),
    ],
)
def test_a_mistake_in_the_parameters_is_named(values, message):
    with pytest.raises(ValidationError, match=message):
        ValidationParameters(**values)


@pytest.mark.parametrize("n_columns", range(1, 40))
def test_the_smallest_alpha_that_the_error_names_is_taken(n_columns):
    columns = [f"column_{i}" for i in range(n_columns)]
    smallest = float(f"{(n_columns + 1) / 100_000:g}")
    assert BatchParameters(columns=columns, alpha=smallest).alpha == smallest
    with pytest.raises(ValidationError, match=f"give {smallest:g} or more"):
        BatchParameters(columns=columns, alpha=0.99 * smallest)


def test_parameters_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        ValueRange(min=1).min = 2


def test_a_range_holds_for_numbers_that_a_table_gives_as_text():
    manifest = make_manifest()
    read = ["20.5", "7", "-3", None] * 15
    assert judge(manifest.assign(degrees=read), ranges={"degrees": {"min": -3, "max": 21}}).success
    (failure,) = judge(manifest.assign(degrees=read), ranges={"degrees": {"min": 0}}).failures
    assert failure["detail"].startswith(
        "degrees is 0 or more (validation.ranges.degrees): not met by 15 of 60"
    )
    assert failure["rows"][0]["degrees"] == "-3"


@pytest.mark.parametrize("value", ["warm", pd.Timestamp("2026-01-01", tz="UTC")])
def test_a_range_of_what_is_no_number_is_not_met_and_names_the_value(value):
    (failure,) = judge(make_manifest().assign(degrees=value), ranges={"degrees": {"min": 0}}).failures
    assert failure["detail"].startswith("each value of degrees is a number (validation.ranges.degrees)")
    assert failure["rows"][0]["degrees"] == str(value)
