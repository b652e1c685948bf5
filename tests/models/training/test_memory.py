"""What does not fit into memory at once is done in parts."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from visionpipe.models.training.memory import Passes

ERRORS = [
    torch.OutOfMemoryError("out of memory"),
    MemoryError(),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),  # of cuDNN 8
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_prediction_goes_on_with_what_fits_and_remembers_it(error, caplog):
    sizes = []

    def run(index_B):
        sizes.append(len(index_B))
        if len(index_B) > 2:
            raise error
        return torch.from_numpy(index_B) * 2

    passes = Passes(7)
    with caplog.at_level(logging.INFO):
        for first, last in ((0, 7), (7, 14)):
            found = list(passes.over(run, np.arange(first, last)))
            np.testing.assert_array_equal(
                np.concatenate([index_B for index_B, _ in found]), range(first, last)
            )
            np.testing.assert_array_equal(
                torch.cat([rows for _, rows in found]), range(2 * first, 2 * last, 2)
            )
    assert sizes == [7, 3] + [1] * 14
    assert [record.message[-2:] for record in caplog.records] == [" 3", " 1"]


def test_what_one_image_is_too_much_for_and_other_errors_are_told():
    def run(index_B):
        raise RuntimeError("out of memory" if len(index_B) == 1 else "a shape does not fit")

    for size, told in ((1, "out of memory"), (2, "a shape does not fit")):
        with pytest.raises(RuntimeError, match=told):
            list(Passes(size).over(run, np.arange(4)))
