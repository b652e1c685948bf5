"""Tensors as the content of a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def tensor_bytes(tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Return a safetensors file's content, for Python to write: safetensors' own errors do not say that a disk is full.

    Tensors that share memory (tied weights) are each written whole, as the format has no word for it.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        Of any device and layout in memory.
    metadata : dict of str to str or None
        Kept in the header.
    """
    from safetensors.torch import save

    written: dict[str, torch.Tensor] = {}
    held = set()
    for name, tensor in tensors.items():
        each = tensor.detach().cpu().contiguous()
        memory = each.untyped_storage().data_ptr()
        written[name] = each.clone() if memory in held else each
        held.add(memory)
    return save(written, metadata)
