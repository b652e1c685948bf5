"""The newest batch is compared with the images before it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quality_tables import arrivals, judge, make_manifest
from visionpipe.quality.batches import compare_newest_batch
from visionpipe.quality.parameters import BatchParameters


def test_batches_drawn_alike_raise_no_alarm_more_often_than_they_may():
    parameters = BatchParameters(alpha=0.05, min_ks_d=0.0, min_label_shift=0.0)
    alarms = sum(
        any(shift.drifted for shift in compare_newest_batch(arrivals(150, 80, seed), parameters).shifts)
        for seed in range(100)
    )
    assert alarms <= 11  # 5 % by Holm, and three standard errors


def test_a_batch_of_bursts_of_near_duplicates_raises_no_alarm():
    """Ten copies of twelve photos a day, taken for 120 photos, are called drift each time."""
    alarms = 0
    for seed in range(20):
        manifest = arrivals(12, 12, seed).loc[lambda photos: photos.index.repeat(10)].reset_index(drop=True)
        found = compare_newest_batch(manifest, BatchParameters())
        assert (found.n_new, found.n_new_groups, found.n_earlier_groups) == (120, 12, 12)
        alarms += any(shift.drifted for shift in found.shifts)
    assert alarms <= 1


def test_statistics_and_p_values_are_those_of_scipy_after_holm():
    manifest = arrivals(300, 120, brightness=0.4, sharpness=0.2)
    found = {shift.column: shift for shift in compare_newest_batch(manifest, BatchParameters()).shifts}
    days = manifest["arrived_at"].dt.date
    earlier, new = (manifest[days == day] for day in sorted(days.unique()))
    columns = ["brightness", "contrast", "sharpness", "entropy"]
    tests = {column: stats.ks_2samp(earlier[column], new[column]) for column in columns}
    counts = pd.crosstab(manifest["label"], days)
    p_values = {column: test.pvalue for column, test in tests.items()}
    p_values["label"] = stats.chi2_contingency(counts, correction=False).pvalue
    from statsmodels.stats.multitest import multipletests

    expected = dict(zip(p_values, multipletests(list(p_values.values()), method="holm")[1], strict=True))
    assert {name: shift.p_adjusted for name, shift in found.items()} == pytest.approx(expected)
    assert found["brightness"].effect == pytest.approx(tests["brightness"].statistic)


def test_a_shift_that_is_large_enough_is_drift_and_one_that_is_only_certain_is_not():
    (warning,) = judge(arrivals(300, 120, brightness=1.0), batch={"max_outside_share": 1.0}).warnings
    assert "brightness (Kolmogorov-Smirnov" in warning and "contrast" not in warning
    slight = compare_newest_batch(arrivals(20_000, 20_000, brightness=0.2), BatchParameters())
    (shift,) = [each for each in slight.shifts if each.column == "brightness"]
    assert shift.p_adjusted < 1e-20 and shift.effect < 0.2 and not shift.drifted


def test_where_a_class_is_rare_other_shares_are_drift_at_a_small_error_rate_too():
    """Random tables then stand in for the chi-squared distribution: 9,999 are too few for five tests at 0.0004."""
    manifest = arrivals(240, 240)
    manifest["label"] = ["crack"] * 120 + ["scratch"] * 118 + ["burn"] * 2 + ["scratch"] * 240
    found = compare_newest_batch(manifest, BatchParameters(alpha=0.0004))
    assert [shift.column for shift in found.shifts if shift.drifted] == ["label"]


def test_other_shares_of_the_classes_are_drift_of_the_labels():
    manifest = arrivals(200, 100)
    new = manifest.index[200:]
    manifest.loc[new[:40], "label"] = "defective"
    (shift,) = [s for s in compare_newest_batch(manifest, BatchParameters()).shifts if s.column == "label"]
    defective = (manifest["label"] == "defective").groupby(manifest["arrived_at"]).mean()
    assert shift.effect == pytest.approx(abs(defective.iloc[1] - defective.iloc[0]))
    assert shift.drifted


def test_labels_that_mostly_occur_once_are_not_called_stable():
    manifest = arrivals(60, 60).assign(label=[f"class {i}" for i in range(120)])
    found = compare_newest_batch(manifest, BatchParameters())
    assert found.untested == ("label",) and "label" not in {shift.column for shift in found.shifts}


def test_images_outside_the_range_of_the_earlier_ones_are_counted():
    manifest = arrivals(400, 100)
    manifest.loc[manifest.index[-12:], "sharpness"] = 5_000.0
    (warning,) = judge(manifest, batch={"min_ks_d": 1.0}).warnings
    assert "at most 0.05 may lie outside the range of the earlier ones" in warning
    share = float(warning.rpartition(": ")[2])
    ranked = np.sort(manifest["sharpness"][:400])
    low, high = ranked[2], ranked[397]  # of 400, the third from either end
    new = manifest["sharpness"][400:]
    assert share == pytest.approx(((new < low) | (new > high)).mean()) and share >= 0.12


@pytest.mark.parametrize(("n_earlier", "n_new"), [(50, 50), (100, 50), (1000, 60)])
def test_few_images_leave_the_range_by_chance_and_raise_no_alarm(n_earlier, n_new):
    """Held to the limit by their bare share, four in five batches of 50 after 50 are warned about."""
    alarms = sum(
        any(shift.strays for shift in compare_newest_batch(arrivals(n_earlier, n_new, seed), limits).shifts)
        for limits in [BatchParameters(alpha=0.05)]
        for seed in range(60)
    )
    assert alarms <= 7  # 5 % by Holm, and two and a half standard errors
    (sharpness,) = [
        shift
        for shift in compare_newest_batch(arrivals(n_earlier, n_new, sharpness=3), BatchParameters()).shifts
        if shift.column == "sharpness"
    ]
    assert sharpness.strays and sharpness.outside_share > 0.3


def test_a_burst_outside_the_range_is_one_image_outside_it():
    manifest = arrivals(100, 100)
    burst = manifest.index[-60:]
    manifest.loc[burst, "sharpness"], manifest.loc[burst, "group_id"] = 5_000.0, "burst"
    found = {shift.column: shift for shift in compare_newest_batch(manifest, BatchParameters()).shifts}
    assert found["sharpness"].outside_share < 0.15 and not found["sharpness"].strays


@pytest.mark.parametrize("part", ["drift", "outside"])
def test_a_batch_stops_the_run_where_the_user_wants_it(part):
    manifest = arrivals(300, 120, brightness=2.0)
    assert judge(manifest).success
    assert not judge(manifest, batch={f"{part}_severity": "error"}).success


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (make_manifest(), "all images arrived on one day"),
        (arrivals(100, 10), "10 new and 100 earlier images, 50 of each needed"),
        (make_manifest(0), "all images arrived on one day"),
    ],
)
def test_what_cannot_be_compared_has_a_reason_and_no_warning(manifest, reason):
    found = compare_newest_batch(manifest, BatchParameters())
    assert found.shifts == () and reason in found.reason


def test_one_day_is_one_batch_whatever_the_hour():
    manifest = arrivals(100, 100)
    hours = pd.to_timedelta(np.arange(200) % 100 // 5, unit="min")
    manifest["arrived_at"] = manifest["arrived_at"] + hours
    assert compare_newest_batch(manifest, BatchParameters()).n_new == 100
