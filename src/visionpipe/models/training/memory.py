"""Memory while training: kept between steps, and halved batches when it runs out."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from visionpipe.errors import VisionpipeError

logger = logging.getLogger(__name__)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of mallopt(3)
_DEFAULTS = {_M_TRIM_THRESHOLD: 128 * 1024, _M_MMAP_MAX: 65536}  # glibc's own
_NEVER = -1


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Have the C library keep freed memory for the next step of a CPU instead of handing it back to the system.

    glibc maps every large activation anew, and a page fault for every 4 KiB of it doubles the time of a training
    step on a CPU. Afterwards everything goes back. Elsewhere than on glibc, and for a GPU, nothing changes.
    """
    library = ctypes.CDLL(None) if device.type == "cpu" and sys.platform.startswith("linux") else None
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        for option, value in _DEFAULTS.items():
            library.mallopt(option, value)
        library.malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether Python, or torch, raised an error because a CPU or a GPU had no memory left.

    cuDNN's and cuBLAS's own allocations fail with a RuntimeError (`CUBLAS_STATUS_ALLOC_FAILED`, and since cuDNN 9
    `CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED`).
    """
    text = str(error)
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "out of memory" in text
        or "DefaultCPUAllocator" in text
        or "_STATUS_ALLOC_FAILED" in text
        or "_ALLOCATION_FAILED" in text
    )


def room(device: torch.device, limit_gib: float) -> float:
    """Return how many bytes more may lie on a device throughout a training.

    On a GPU all that does takes half, at most, of what is free without it: the other half is for the steps.

    Parameters
    ----------
    limit_gib : float
        At most [GiB].
    """
    limit = limit_gib * 2**30
    if device.type != "cuda":
        return limit
    # what torch has reserved is either allocated now or free for its next tensors
    free_without = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return min(limit, max(0.0, free_without / 2 - torch.cuda.memory_allocated(device)))


class Passes:
    """Runs images through a network that learns nothing from them: so many at once, fewer once memory has run out.

    Attributes
    ----------
    size : int
        Images at once.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def over(
        self, run: Callable[[np.ndarray], torch.Tensor], index_N: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Run images in their order; when memory runs out, go on with half as many at once.

        Parameters
        ----------
        run : callable
            From positions (B,) to rows (B, ...), the same whatever the batch but for what is drawn at random.

        Yields
        ------
        tuple of numpy.ndarray and torch.Tensor
            Positions (B,) and their rows.
        """
        first = 0
        while first < len(index_N):
            index_B = index_N[first : first + self.size]
            rows = self._attempt(run, index_B)
            if rows is not None:
                yield index_B, rows
                first += len(index_B)
                continue
            # here, not where it was caught: the error holds the tensors of the attempt
            self.size = len(index_B) // 2
            logger.info("Out of memory at %d images at once: going on with %d", len(index_B), self.size)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    @staticmethod
    def _attempt(run: Callable[[np.ndarray], torch.Tensor], index_B: np.ndarray) -> torch.Tensor | None:
        try:
            return run(index_B)
        except (RuntimeError, MemoryError) as error:
            if len(index_B) == 1 or not is_out_of_memory(error):
                raise
            return None


class TeamOutOfMemoryError(VisionpipeError):
    """Memory ran out in one of several processes, which the others cannot know: all must start anew, with less.

    Attributes
    ----------
    n_images : int
        That were in memory at once.
    """

    def __init__(self, n_images: int) -> None:
        super().__init__(f"training: memory ran out in one of several processes at {n_images} images at once")
        self.n_images = n_images


class MicroBatch:
    """How many images of a step are in memory at once; gradients add up over a step's micro-batches.

    Attributes
    ----------
    size : int
        Images.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def halve(self, fewest: int = 1) -> None:
        """Make it half as large, and say so.

        Parameters
        ----------
        fewest : int
            Images that it cannot go below.

        Raises
        ------
        VisionpipeError
            When so few are too much.
        """
        if self.size <= fewest:
            images = (
                "a single image needs" if fewest == 1 else f"the {fewest} images of batch normalisation need"
            )
            raise VisionpipeError(
                f"training: {images} more memory than there is; lower training.image_size_px, or take a smaller "
                "training.backbone"
            )
        self.size = max(fewest, -(-self.size // 2))
        logger.warning(
            "Out of memory: a step now goes through its images %d at a time and adds the gradients up; "
            "training.batch_size stays what it is, but batch normalisation that learns sees so many only",
            self.size,
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
