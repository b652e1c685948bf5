"""Agreement equals what three other packages and two papers say, and its intervals what a plain bootstrap says."""

import time
import tracemalloc
import warnings

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from visionpipe.quality.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

FEW = {"resamples": 20}


def counts_of(*annotators: str) -> list[list[int]]:
    """Count the votes of annotators' strings, one letter an image, "." for none."""
    classes = sorted(set("".join(annotators)) - {"."})
    return [[votes.count(name) for name in classes] for votes in zip(*annotators, strict=True)]


@st.composite
def votes(draw):
    n_images, n_classes = draw(st.integers(2, 25)), draw(st.integers(2, 5))
    n_annotators = draw(st.integers(2, 6))
    row = st.lists(st.integers(-1, n_classes - 1), min_size=n_annotators, max_size=n_annotators)
    drawn_NA = np.array(draw(st.lists(row, min_size=n_images, max_size=n_images)))
    return drawn_NA, n_classes  # -1: no vote


@settings(max_examples=200)
@given(votes())
def test_alpha_is_that_of_the_krippendorff_package(drawn):
    votes_NA, n_classes = drawn
    counts_NK = np.stack([(votes_NA == k).sum(axis=1) for k in range(n_classes)], axis=1)
    found = krippendorff_alpha(counts_NK, **FEW)
    pairable = counts_NK[counts_NK.sum(axis=1) >= 2]
    if (pairable.sum(axis=0) > 0).sum() < 2:
        assert found.estimate is None and found.reason
    else:
        expected = krippendorff.alpha(value_counts=counts_NK, level_of_measurement="nominal")
        assert found.estimate == pytest.approx(expected, abs=1e-12)
        assert found.n_images == len(pairable)


@settings(max_examples=200)
@given(
    st.integers(2, 6).flatmap(
        lambda m: st.lists(st.lists(st.integers(0, 3), min_size=m, max_size=m), min_size=2, max_size=25)
    )
)
def test_fleiss_kappa_is_that_of_statsmodels(rows):
    counts_NK = np.stack([np.bincount(row, minlength=4) for row in rows])
    found = fleiss_kappa(counts_NK, **FEW)
    if (counts_NK.sum(axis=0) > 0).sum() < 2:
        assert found.estimate is None and found.reason
    else:
        assert found.estimate == pytest.approx(statsmodels_fleiss(counts_NK), abs=1e-12)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_cohen_kappa_is_that_of_scikit_learn(pairs):
    first, second = zip(*pairs, strict=True)
    found = cohen_kappa(first, second, **FEW)
    if len({*first, *second}) == 1:
        assert found.estimate is None and found.reason
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert found.estimate == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_alpha_of_krippendorffs_own_examples():
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": sections A, B and C/D."""
    binary = counts_of("0100000010", "1110010000")
    nominal = counts_of("aabbdcccedda", "babbbcccedd" + "d")
    gaps = counts_of("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    assert krippendorff_alpha(binary).estimate == pytest.approx(0.095, abs=5e-4)
    assert krippendorff_alpha(nominal).estimate == pytest.approx(0.692, abs=5e-4)
    found = krippendorff_alpha(gaps)
    assert found.estimate == pytest.approx(0.743, abs=5e-4)
    assert found.n_images == 11  # the twelfth has one vote


def test_fleiss_kappa_of_fleiss_own_example():
    """Fleiss (1971), table 1: 30 patients, six psychiatrists, five diagnoses; kappa 0.430."""
    table = """
        00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
        00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
    """
    counts_NK = np.array([[int(digit) for digit in row] for row in table.split()])
    assert counts_NK.sum(axis=0).tolist() == [26, 26, 30, 55, 43]  # as printed below the table
    assert fleiss_kappa(counts_NK).estimate == pytest.approx(0.430, abs=5e-4)


def test_the_interval_is_that_of_a_bootstrap_written_out():
    random = np.random.default_rng(3)
    truth_N = random.integers(0, 3, 150)
    votes_NA = np.where(random.random((150, 3)) < 0.75, truth_N[:, None], random.integers(0, 3, (150, 3)))
    votes_NA[random.random((150, 3)) < 0.2] = -1
    counts_NK = np.stack([(votes_NA == k).sum(axis=1) for k in range(3)], axis=1)
    found = krippendorff_alpha(counts_NK, resamples=4000, seed=1)
    plain = [
        krippendorff.alpha(
            value_counts=counts_NK[random.integers(0, 150, 150)], level_of_measurement="nominal"
        )
        for _ in range(1500)
    ]
    # both are draws; the 2.5 % quantile of 1,500 of them has a standard error of about 0.006 here
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.02)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Two annotators who are right in 85 % of cases over two even classes: kappa is (0.745 - 0.5) / 0.5."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        truth_N = random.random(200) < 0.5
        first_N, second_N = (truth_N ^ (random.random(200) < 0.15) for _ in range(2))
        found = cohen_kappa(first_N.astype(str), second_N.astype(str), resamples=400)
        inside += found.low <= 0.49 <= found.high
    assert 0.91 <= inside / 300 <= 0.985  # 95 % within three standard errors, and a little for few resamples


@pytest.mark.parametrize(
    ("n_images", "disagreeing", "of_first_class"), [(20, 0.075, 0.5), (40, 0.05, 0.3), (60, 0.05, 0.1)]
)
def test_the_lower_end_lies_above_the_truth_no_oftener_than_it_may(n_images, disagreeing, of_first_class):
    """Two annotators who say the same but for few images: resamples of those that all agree know of no doubt."""
    random = np.random.default_rng(1)
    share = of_first_class * (1 - disagreeing) + disagreeing / 2
    truth = 1 - disagreeing / (2 * share * (1 - share))
    above = 0
    for _ in range(400):
        unlike_N, is_first_N = random.random(n_images) < disagreeing, random.random(n_images) < of_first_class
        first_N = np.where(unlike_N, 1, 2 * is_first_N)
        low = krippendorff_alpha(np.column_stack([first_N, 2 - first_N]), resamples=200).low
        above += low is not None and low > truth
    assert above <= 18  # 2.5 % of 400 is 10; more than 18 have a chance of 0.6 %


@pytest.mark.parametrize(("n_bursts", "wrong_together"), [(40, True), (40, False), (12, True)])
def test_intervals_cover_the_truth_where_photos_come_in_bursts(n_bursts, wrong_together):
    """Bursts of 2 to 18 photos; taken for as many independent ones, the interval holds the truth in half the cases."""
    random = np.random.default_rng(2)
    sizes_G = np.resize([2, 18, 10], n_bursts)
    groups_N = np.repeat(np.arange(n_bursts), sizes_G)
    inside, above = 0, 0
    for _ in range(300):
        truth_N = (random.random(n_bursts) < 0.5)[groups_N]
        wrong_2N = random.random((2, n_bursts if wrong_together else len(groups_N))) < 0.15
        first_N, second_N = truth_N ^ (wrong_2N[:, groups_N] if wrong_together else wrong_2N)
        found = cohen_kappa(first_N.astype(str), second_N.astype(str), groups_N, resamples=300)
        assert (found.n_images, found.n_groups) == (len(groups_N), n_bursts)
        inside += found.low <= 0.49 <= found.high
        above += found.low > 0.49
    assert inside >= 270 and above <= 16  # of 300: 95 % and 2.5 %, less what few groups and resamples cost


def test_each_image_a_group_of_its_own_is_the_same_as_none_and_copies_add_no_certainty():
    counts_NK = np.random.default_rng(0).multinomial(3, [0.7, 0.3], 60)
    copied_NK, groups_N = np.repeat(counts_NK, 10, axis=0), np.repeat(np.arange(60), 10)
    for measure in (krippendorff_alpha, fleiss_kappa):
        plain, grouped = measure(counts_NK), measure(counts_NK, [f"group {i}" for i in range(60)])
        copied = measure(copied_NK, groups_N)
        assert plain == grouped
        assert (copied.low, copied.high) == pytest.approx((plain.low, plain.high), abs=0.03)


def test_bursts_that_agree_without_exception_are_counted_once():
    alone = krippendorff_alpha([[2, 0], [0, 2]] * 10, **FEW)
    copied = krippendorff_alpha(
        np.repeat([[2, 0], [0, 2]] * 10, 50, axis=0), np.repeat(np.arange(20), 50), **FEW
    )
    assert copied.low == pytest.approx(alone.low, abs=0.02)


def test_five_groups_have_an_estimate_but_no_interval():
    found = krippendorff_alpha([[2, 0], [0, 2], [1, 1], [2, 0], [0, 2]] * 20, list("abcde") * 20)
    assert found.estimate is not None and (found.low, found.high) == (None, None)
    assert "too few images for an interval: 5 groups" in found.reason


def test_where_nobody_disagrees_the_lower_end_is_that_of_the_exact_interval():
    n_images = 20
    most_unlike = 1 - 0.025 ** (1 / n_images)  # of Clopper and Pearson, none of 20
    evenly = {"krippendorff_alpha": 400 / 2 / 390, "fleiss_kappa": 0.5, "cohen_kappa": 0.5}
    counts_NK = [[2, 0], [0, 2]] * 10
    for found in (
        krippendorff_alpha(counts_NK, **FEW),
        fleiss_kappa(counts_NK, **FEW),
        cohen_kappa("ab" * 10, "ab" * 10, **FEW),
    ):
        assert (found.estimate, found.high) == (1, 1)
        assert found.low == pytest.approx(1 - most_unlike / evenly[found.statistic])
    assert krippendorff_alpha([[2, 0], [0, 2]] * 500, **FEW).low > 0.99


def test_ten_thousand_images_take_seconds_and_bounded_memory():
    random = np.random.default_rng(0)
    counts_NK = np.stack([random.multinomial(25, random.dirichlet(np.ones(10) * 0.3)) for _ in range(10_000)])
    tracemalloc.start()
    started = time.perf_counter()
    krippendorff_alpha(counts_NK, resamples=2000)
    seconds, (_, peak) = time.perf_counter() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10  # about 1.2 s here, where no two images have the same votes: the worst case
    assert peak < 300e6


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (krippendorff_alpha([[1, 0], [0, 1]]), "no image was labelled by two"),
        (krippendorff_alpha(np.zeros((0, 0))), "no image was labelled by two"),
        (krippendorff_alpha([[2, 0], [3, 0]]), "only one class"),
        (fleiss_kappa([[1, 0]]), "no image was labelled by two"),
        (fleiss_kappa([[3, 0], [3, 0]]), "only one class"),
        (cohen_kappa([], []), "no image was labelled by two"),
        (cohen_kappa("aaa", "aaa"), "only one class"),
    ],
)
def test_what_cannot_be_measured_has_a_reason_and_no_number(found, word):
    assert (found.estimate, found.low, found.high) == (None, None, None)
    assert word in found.reason


def test_two_images_have_an_estimate_but_no_interval():
    """Half of the resamples name one class only."""
    found = krippendorff_alpha([[2, 0], [0, 2]])
    assert (found.estimate, found.low, found.high) == (1.0, None, None)
    assert "too few images" in found.reason


def test_the_same_seed_gives_the_same_interval_and_another_a_close_one():
    counts_NK = np.random.default_rng(0).multinomial(3, [0.7, 0.3], 200)
    first, again, other = (krippendorff_alpha(counts_NK, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first.low == pytest.approx(other.low, abs=0.02)


@pytest.mark.parametrize("counts", [[[1.5, 0]], [[-1, 2]], [1, 2]])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="agreement: counts"):
        krippendorff_alpha(counts)
