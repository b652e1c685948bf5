"""What does not fit into memory at once is done in parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionpipe.models.training.memory import in_halves

ERRORS = [
    torch.OutOfMemoryError("out of memory"),
    MemoryError(),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_prediction_goes_on_in_halves(error):
    sizes = []

    def run(index_B):
        sizes.append(len(index_B))
        if len(index_B) > 2:
            raise error
        return torch.from_numpy(index_B) * 2

    assert in_halves(run, np.arange(7)).tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert max(sizes[2:]) <= 4
