"""Pearson's test agrees with scipy and with enumeration, and the effect is nothing where nothing moved."""

import json

import numpy as np
import pytest
from scipy.stats import PermutationMethod, chi2_contingency, contingency, fisher_exact

from visionpipe.stats.chi_squared import chi_squared, cramers_v_at_equal_sizes, tables_for


@pytest.mark.parametrize(
    "counts", [([90, 10], [60, 40]), ([500, 30, 20], [480, 45, 11]), ([7, 9, 4, 8], [60, 70, 55, 90])]
)
def test_chi_squared_is_that_of_scipy(counts):
    found = chi_squared(*counts)
    expected = chi2_contingency(counts, correction=False)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.degrees_of_freedom == expected.dof


def test_empty_categories_change_nothing_and_mappings_are_aligned_by_name():
    plain = chi_squared([90, 10], [60, 40])
    assert chi_squared([0, 90, 0, 10], [0, 60, 0, 40]) == plain
    assert chi_squared({"a": 90, "b": 10, "c": 0}, {"b": 40, "a": 60}) == plain


def test_a_new_category_counts_as_a_shift():
    found = chi_squared({"shirt": 300, "shoe": 300}, {"shirt": 60, "shoe": 60, "hat": 80})
    assert found.p_value < 1e-20
    assert found.total_variation == pytest.approx(0.4)


def test_one_image_of_a_new_category_is_no_drift():
    reference, current = [900, 900, 0], [50, 50, 1]
    assert chi2_contingency([reference, current], correction=False).pvalue < 1e-3
    assert chi_squared(reference, current).p_value > 0.04  # that the odd one is among these 101 of 1,901


@pytest.mark.parametrize("counts", [([9, 1, 3], [2, 5, 4]), ([30, 2, 2, 1], [4, 3, 0, 3])])
def test_where_counts_are_small_the_p_value_is_that_of_scipys_permutations(counts):
    expected = chi2_contingency(
        counts, correction=False, method=PermutationMethod(n_resamples=9_999, rng=np.random.default_rng(3))
    )
    found = chi_squared(*counts)
    assert found.statistic == pytest.approx(expected.statistic)
    # two estimates of one share, each from 9,999 draws: four standard errors
    share = expected.pvalue
    assert found.p_value == pytest.approx(share, abs=4 * np.sqrt(2 * share * (1 - share) / 9_999))


def test_two_categories_of_small_counts_have_the_p_value_of_fisher():
    counts = ([14, 1], [7, 7])  # the only splits that are as far from even, on either side
    assert chi_squared(*counts).p_value == pytest.approx(fisher_exact(counts).pvalue, abs=0.006)


def test_many_rare_categories_are_tested_rather_than_merged_away():
    """Each of 100 categories twice, never on both sides: as far apart as can be."""
    found = chi_squared([2] * 50 + [0] * 50, [0] * 50 + [2] * 50)
    assert found.p_value == pytest.approx(1e-4)
    assert found.degrees_of_freedom == 99


@pytest.mark.parametrize(("alpha", "n_tests"), [(0.01, 1), (0.01, 101), (0.001, 11), (0.0003, 3)])
def test_random_tables_are_as_many_as_it_takes_to_show_a_shift(alpha, n_tests):
    found = chi_squared([120, 118, 2], [0, 240, 0], tables=tables_for(alpha, n_tests))
    assert found.p_value * n_tests < alpha


@pytest.mark.parametrize("share", [0.01, 0.9])
def test_p_values_of_many_rare_categories_are_as_small_as_often_as_they_say(share):
    random = np.random.default_rng(0)
    shares_C = np.r_[share, np.full(19, (1 - share) / 19)]
    p_values = np.array(
        [
            chi_squared(random.multinomial(300, shares_C), random.multinomial(50, shares_C)).p_value
            for _ in range(200)
        ]
    )
    assert np.mean(p_values <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(p_values <= 0.01) < 0.01 + 3 * np.sqrt(0.01 * 0.99 / 200)


def test_values_that_mostly_occur_once_are_not_tested():
    """Whichever rows are whose, such a table has the same statistic: a p-value of 1 would mean nothing."""
    found = chi_squared([1] * 80 + [0] * 80, [0] * 80 + [1] * 80)
    assert found.p_value is None
    assert found.reason == "160 of 160 values occur once"


@pytest.mark.parametrize(
    ("counts", "p_value"), [(([5, 0], [9, 0]), 1.0), (([0, 0], [3, 1]), None), (([], []), None)]
)
def test_one_category_or_no_images_is_no_crash(counts, p_value):
    found = chi_squared(*counts)
    assert found.p_value == p_value
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "counts",
    [([1, 2], [1, 2, 3]), ([1, -2], [1, 2]), ([1, np.nan], [1, 2]), ([1, 2.5], [1, 2]), ({"a": 1}, [1])],
)
def test_counts_that_make_no_sense_are_refused(counts):
    with pytest.raises(ValueError, match="chi_squared"):
        chi_squared(*counts)


def test_cramers_v_is_that_of_bergsma_where_the_sizes_are_equal():
    counts_2C = np.array([[300, 120, 80, 0], [200, 200, 60, 40]])
    squared = contingency.association(counts_2C, method="cramer") ** 2
    rows, columns = (size - (size - 1) ** 2 / 999 for size in (2, 4))
    expected = np.sqrt((squared - 3 / 999) / min(rows - 1, columns - 1))
    assert cramers_v_at_equal_sizes(*counts_2C) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (150, 20_000), (500, 1_000_000)])
@pytest.mark.parametrize("n_categories", [3, 100, 1000])
def test_without_a_shift_cramers_v_is_small_however_many_categories(n, m, n_categories):
    random = np.random.default_rng(0)
    shares_C = np.full(n_categories, 1 / n_categories)
    found = [
        cramers_v_at_equal_sizes(random.multinomial(n, shares_C), random.multinomial(m, shares_C))
        for _ in range(30)
    ]
    assert np.mean(np.square(found)) < 0.15**2


def test_cramers_v_of_a_shift_hardly_depends_on_the_number_of_rows():
    random = np.random.default_rng(0)
    up_C = np.where(np.arange(100) % 2, 1.3, 0.7) / 100
    found = [
        np.mean([cramers_v_at_equal_sizes(random.multinomial(n, up_C), random.multinomial(n, up_C[::-1]))
                 for _ in range(30)])
        for n in (400, 20_000)
    ]  # fmt: skip
    assert found == pytest.approx([0.3, 0.3], abs=0.03)
