"""Fold batch normalisation into the convolution before it: one operation less a layer wherever nothing is learned."""

from __future__ import annotations

import copy
import logging
from functools import cache

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from visionpipe.errors import first_line
from visionpipe.models.convolutions import exact_convolutions

logger = logging.getLogger(__name__)
PROBED_IMAGES = 2  # enough for `folded`
_TOLERANCE = 1e-3  # of the largest value; many layers of float32 rounding lie between


@torch.no_grad()
@exact_convolutions()
def folded(stages: nn.ModuleList, images_NCHW: torch.Tensor) -> nn.ModuleList:
    """Return a copy of stages with batch normalisation folded into convolutions, for passes that nothing learns from.

    Which layers follow one another is read from their order in the network and proven on a few images: where the
    result differs, the copy is not folded, and the log says so.

    Parameters
    ----------
    stages : torch.nn.ModuleList
        In evaluation mode; left as they are.
    images_NCHW : torch.Tensor
        What the first stage takes; a few will do.
    """
    copied, plain = copy.deepcopy(stages), copy.deepcopy(stages)
    try:
        _fold_children(copied)
        found, wanted = _run(copied, images_NCHW), _run(plain, images_NCHW)
    except RuntimeError as error:  # a batch norm of other channels than the convolution listed before it
        _say_once(first_line(error))
        return plain
    close = found.shape == wanted.shape and bool(
        (found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max()
    )
    if not close:
        _say_once("the result would be another")
        return plain
    return copied.to(memory_format=torch.channels_last)


@cache  # it is tried after every epoch
def _say_once(why: str) -> None:
    logger.info("Batch normalisation is not folded into convolutions where nothing is learned: %s", why)


def _fold_children(module: nn.Module) -> None:
    before: tuple[nn.Module, str, nn.Conv2d] | None = None
    for parent, name, layer in _leaves(module):
        if isinstance(layer, nn.BatchNorm2d) and before is not None:
            owner, conv_name, conv = before
            setattr(owner, conv_name, fuse_conv_bn_eval(conv, layer))
            # timm's batch norm brings its activation with it
            rest = [getattr(layer, part) for part in ("drop", "act") if hasattr(layer, part)]
            setattr(parent, name, nn.Sequential(*rest))
        before = (parent, name, layer) if isinstance(layer, nn.Conv2d) else None


def _leaves(module: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """List convolutions, batch norms and layers without children, in the order of the network's definition."""
    found = []
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d | nn.BatchNorm2d) or not list(child.children()):
            found.append((module, name, child))
        else:
            found += _leaves(child)
    return found


def _run(stages: nn.ModuleList, activations: torch.Tensor) -> torch.Tensor:
    for stage in stages:
        activations = stage(activations)
    return activations
