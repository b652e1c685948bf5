"""The low frequencies of a 64 x 64 px picture, which its perceptual hash and its descriptor are made of."""

from __future__ import annotations

import numpy as np

DCT_SIDE_PX = 64
_FREQUENCIES = 16  # 16 x 16 low frequencies -> a hash of 256 bits


def _cosines() -> np.ndarray:
    """Return the first 16 rows of the orthonormal 64-point DCT-II, (16, 64) float32."""
    frequency, position = np.arange(_FREQUENCIES)[:, None], np.arange(DCT_SIDE_PX)
    rows = np.cos(np.pi * frequency * (2 * position + 1) / (2 * DCT_SIDE_PX)) * np.sqrt(2 / DCT_SIDE_PX)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


COSINES = _cosines()
"""(16, 64): `COSINES @ picture @ COSINES.T` is its spectrum.

As only 256 of the 4,096 frequencies are used, two products are four times as fast as an FFT.
"""
