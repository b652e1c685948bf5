"""Intervals and tests that know nothing of images: NumPy arrays in, small frozen dataclasses out.

Shapes: N observations, M of a second sample, B resamples, G clusters, D features.
"""

from visionpipe.stats.intervals import (
    Interval,
    clopper_pearson,
    cluster_bootstrap,
    cluster_bootstrap_many,
    clustered_proportion,
    effective_size,
)
from visionpipe.stats.paired import (
    NonInferiority,
    PairedTest,
    SliceComparison,
    cluster_swap_test,
    compare_slices,
    holm,
    mcnemar_exact,
    non_inferiority,
    paired_cluster_bootstrap,
)
from visionpipe.stats.two_sample import (
    ChiSquaredTest,
    KSTest,
    MMDTest,
    chi_squared,
    ks,
    mmd_permutation,
)

__all__ = [
    "ChiSquaredTest",
    "Interval",
    "KSTest",
    "MMDTest",
    "NonInferiority",
    "PairedTest",
    "SliceComparison",
    "chi_squared",
    "clopper_pearson",
    "cluster_bootstrap",
    "cluster_bootstrap_many",
    "cluster_swap_test",
    "clustered_proportion",
    "compare_slices",
    "effective_size",
    "holm",
    "ks",
    "mcnemar_exact",
    "mmd_permutation",
    "non_inferiority",
    "paired_cluster_bootstrap",
]
