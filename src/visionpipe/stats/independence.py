"""Photos that belong together are one piece of evidence: which rows a test may take for independent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def one_row_per_group(group_ids_N: pd.Series, *, seed: int) -> NDArray[np.intp]:
    """Draw one row of each group at random.

    Tests that take rows for independent call any difference certain where each group fills many rows.

    Parameters
    ----------
    group_ids_N : pandas.Series
        What each row belongs to; a row whose group is missing stands for itself.
    seed : int
        Seed of the draw.

    Returns
    -------
    numpy.ndarray
        Positions of the rows that are kept, in rising order.

    Examples
    --------
    >>> import pandas as pd
    >>> one_row_per_group(pd.Series(["a", "b", None, "c", None]), seed=0).tolist()
    [0, 1, 2, 3, 4]
    >>> len(one_row_per_group(pd.Series(["a", "b", "b", "b"]), seed=0))
    2
    """
    import pandas as pd

    group_N, groups = pd.factorize(group_ids_N)
    alone_N = group_N < 0
    group_N[alone_N] = len(groups) + np.arange(np.count_nonzero(alone_N))
    shuffled_N = np.random.default_rng(seed).permutation(len(group_N))
    _, first_G = np.unique(group_N[shuffled_N], return_index=True)
    return np.sort(shuffled_N[first_G])
