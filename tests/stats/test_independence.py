"""One row of each group, and every row of it as likely as another."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from visionpipe.stats.independence import one_row_per_group


def test_each_group_keeps_one_row_and_rows_without_a_group_all_stay():
    groups = pd.Series(["b", "a", None, "b", "a", "b", None, "c"])
    kept = one_row_per_group(groups, seed=0)
    assert sorted(groups[kept].dropna()) == ["a", "b", "c"]
    assert {2, 6, 7} < set(kept)
    assert kept.tolist() == sorted(kept)
    assert len(one_row_per_group(groups[:0], seed=0)) == 0


def test_every_row_of_a_group_is_as_likely_as_another():
    groups = pd.Series([7, 7, 7, 8])
    drawn = [one_row_per_group(groups, seed=seed)[0] for seed in range(600)]
    for row in range(3):
        assert binomtest(drawn.count(row), 600, 1 / 3).pvalue > 0.001
    assert np.array_equal(one_row_per_group(groups, seed=5), one_row_per_group(groups, seed=5))
