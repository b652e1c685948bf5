"""Cuts a network into stages that give, one after another, what the network gives.

One forward pass is watched: whatever each block was handed and returned tells which blocks follow one another and
what the network's own code does between them. Where that code cannot be recognised, the network itself becomes the
first stage and runs up to the first block of an unbroken row.

Legend: B images, C channels, H x W pixels of a feature map, T tokens, D features.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torchvision.ops import Permute

_TOLERANCE = 1e-4  # of the largest value: sums may be taken in another order
_NEARLY_ALL = 0.8  # share of a network's weights that makes one child the network, the rest its frame
_TELLING = 0.01  # of the largest value: by how much the features of different images have to differ
_DRAWS = 5  # of weights, until the features do
_FEWEST = 3  # stages with weights below which a network does not count as cut


def cut(network: nn.Module, image_size_px: int) -> tuple[nn.ModuleList, int]:
    """Cut a network whose classifier has been taken off.

    Where it is cut depends on its architecture and on the size, never on its weights: a saved classifier is rebuilt
    without them.

    Parameters
    ----------
    network : torch.nn.Module
        (B, 3, H, W) in, features out; it is taken apart.
    image_size_px : int
        H and W.

    Returns
    -------
    stages : torch.nn.ModuleList
        Run in order; the result flattens to (B, D). A single stage when it cannot be cut.
    n_features : int
        D.
    """
    random = torch.Generator().manual_seed(0)
    probe_NCHW = torch.randn((2, 3, image_size_px, image_size_px), generator=random)
    probe_NCHW[1] *= 3  # two images of noise look alike in their means, these do not
    trial = copy.deepcopy(network).eval()
    with torch.inference_mode():
        for _ in range(_DRAWS):
            _draw_weights(trial, random)
            _normalise(trial, probe_NCHW)
            features_ND = trial(probe_NCHW).flatten(1)
            if not _close(features_ND[:1], features_ND[1:], _TELLING):
                break
        else:  # features that hardly depend on the image tell nothing
            return nn.ModuleList([network]), features_ND.shape[1]
        ways = {tuple(units): units for units in (_units(trial), _inner_units(trial))}
        rows = [_row(trial, units, probe_NCHW, features_ND) for units in ways.values()]
        row = max(rows, key=lambda row: row.n_weighted)
    if row.n_weighted >= _FEWEST and _gives(_take_apart(trial, row), probe_NCHW, features_ND):
        return _take_apart(network, row), features_ND.shape[1]
    return nn.ModuleList([network]), features_ND.shape[1]


@dataclass(frozen=True)
class _Row:
    """Blocks that follow one another up to the features.

    Attributes
    ----------
    steps : tuple
        Paths of blocks, and what the network does between them.
    is_whole : bool
        Whether the first block is handed the image itself.
    n_weighted : int
        Stages with weights that it would give.
    """

    steps: tuple[str | nn.Module, ...]
    is_whole: bool
    n_weighted: int


@dataclass(frozen=True)
class _Call:
    """What a block was handed and what it returned."""

    path: str
    given: torch.Tensor
    returned: torch.Tensor


class FirstPart(nn.Module):
    """Runs a network until it reaches the block that was replaced by `_Stop`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Return the activations that the stopped block is handed, or what the network returns without it."""
        try:
            return self.network(images_NCHW)
        except _Reached as reached:
            return reached.activations


class _Stop(nn.Module):
    def forward(self, activations: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        raise _Reached(activations)


class _Reached(Exception):  # noqa: N818 - no error: the way out of somebody else's forward
    def __init__(self, activations: torch.Tensor) -> None:
        super().__init__()
        self.activations = activations


class _Mean(nn.Module):
    """Averages over dimensions, without the first `skipped` entries of dimension 1."""

    def __init__(self, dimensions: tuple[int, ...], skipped: int = 0) -> None:
        super().__init__()
        self.dimensions, self.skipped = dimensions, skipped

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        return activations[:, self.skipped :].mean(self.dimensions)


class _FirstToken(nn.Module):
    """Picks the class token of (B, T, D)."""

    def forward(self, tokens_BTD: torch.Tensor) -> torch.Tensor:
        return tokens_BTD[:, 0]


def _between(n_dimensions: int) -> Iterator[nn.Module]:
    """List what networks do between their blocks, in a form that fits activations of so many dimensions."""
    yield nn.Identity()
    yield nn.ReLU()
    if n_dimensions == 4:
        yield nn.Flatten(1)
        yield _Mean((2, 3))
        yield nn.Sequential(nn.ReLU(), _Mean((2, 3)))
        yield Permute([0, 2, 3, 1])
        yield Permute([0, 3, 1, 2])
        yield nn.Sequential(nn.Flatten(2), Permute([0, 2, 1]))
        yield _Mean((1, 2))
    if n_dimensions == 3:
        yield _FirstToken()
        yield from (_Mean((1,), skipped) for skipped in (0, 1, 2, 5))


def _units(network: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks of a network by path: its children, and the children of containers among them."""
    units = {}
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            units.update({f"{name}.{path}": inner for path, inner in child.named_children()})
        else:
            units[name] = child
    return units


def _inner_units(network: nn.Module) -> dict[str, nn.Module]:
    """Return `_units`, but those of a child that holds nearly all weights in the child's place."""
    units = {}
    for path, unit in _units(network).items():
        if _count(unit) > _NEARLY_ALL * _count(network):
            units.update({f"{path}.{inner_path}": inner for inner_path, inner in _inner_units(unit).items()})
        else:
            units[path] = unit
    return units


def _row(
    network: nn.Module, units: dict[str, nn.Module], probe_NCHW: torch.Tensor, features_ND: torch.Tensor
) -> _Row:
    """Walk back from the features, block by block, for as long as each step is understood."""
    calls = _watch(network, units, probe_NCHW)
    steps: list[str | nn.Module] = []
    wanted, n_weighted = features_ND, 0
    while not _close(probe_NCHW, wanted):
        found = _last_that_gives(calls, wanted, at_the_end=not steps)
        if found is None:
            break
        position, step = found
        if not isinstance(step, nn.Identity):
            steps.append(step)
        steps.append(calls[position].path)
        n_weighted += _count(units[calls[position].path]) > 0
        wanted, calls = calls[position].given, calls[:position]
    is_whole = _close(probe_NCHW, wanted)
    return _Row(tuple(reversed(steps)), is_whole, n_weighted + (not is_whole))


def _watch(network: nn.Module, units: dict[str, nn.Module], probe_NCHW: torch.Tensor) -> list[_Call]:
    """Return the calls of blocks that run once, on one tensor, in the order in which they end."""
    given: dict[str, list[torch.Tensor]] = {path: [] for path in units}
    calls: list[_Call] = []
    hooks = []

    def watch(path: str, unit: nn.Module) -> None:
        # copies: the next block may work in place
        def before(_: nn.Module, inputs: tuple) -> None:
            given[path].append(inputs[0].clone() if inputs and isinstance(inputs[0], torch.Tensor) else None)

        def after(_: nn.Module, __: tuple, returned: object) -> None:
            if isinstance(returned, torch.Tensor) and given[path][-1] is not None:
                calls.append(_Call(path, given[path][-1], returned.clone()))

        hooks.extend([unit.register_forward_pre_hook(before), unit.register_forward_hook(after)])

    for path, unit in units.items():
        watch(path, unit)
    network(probe_NCHW)
    for hook in hooks:
        hook.remove()
    return [call for call in calls if len(given[call.path]) == 1]


def _last_that_gives(
    calls: list[_Call], wanted: torch.Tensor, *, at_the_end: bool
) -> tuple[int, nn.Module] | None:
    """Find the last call that returned what is wanted, or something that one known step turns into it."""
    for position in reversed(range(len(calls))):
        returned = calls[position].returned
        for step in _between(returned.ndim):
            result = step(returned)
            if _close(result.flatten(1) if at_the_end else result, wanted):
                return position, step
    return None


def _take_apart(network: nn.Module, row: _Row) -> nn.ModuleList:
    """Move the blocks of a row out of a network."""
    stages = [network.get_submodule(step) if isinstance(step, str) else step for step in row.steps]
    if not row.is_whole:
        paths = [step for step in row.steps if isinstance(step, str)]
        network.set_submodule(paths[0], _Stop())
        for path in paths[1:]:
            network.set_submodule(path, nn.Identity())
        stages.insert(0, FirstPart(network))
    return nn.ModuleList(stages)


@torch.inference_mode()
def _gives(stages: nn.ModuleList, activations: torch.Tensor, features_ND: torch.Tensor) -> bool:
    """Say whether the stages give the features."""
    try:
        for stage in stages:
            activations = stage(activations)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return False  # the network's own code asks a block that has been moved out
    return _close(activations.flatten(1), features_ND)


def _draw_weights(network: nn.Module, random: torch.Generator) -> None:
    """Replace all weights, so that none of those which start at 0 hides what the network does with them.

    Of a size that carries the image through many layers (He et al., ICCV 2015), and biases small beside it.
    """
    with torch.no_grad():
        for path, weight in network.named_parameters():
            if weight.ndim > 1:
                # one row is no matrix but what is added to every image: positions, class tokens
                bound = 1.0 if len(weight) == 1 else (6 / weight[0].numel()) ** 0.5
                weight.uniform_(-bound, bound, generator=random)
            elif path.endswith("bias"):
                weight.uniform_(-0.1, 0.1, generator=random)
            else:
                weight.uniform_(0.5, 1.5, generator=random)


def _normalise(network: nn.Module, probe_NCHW: torch.Tensor) -> None:
    """Take batch norms' statistics from the probe: beside activations that grow, small steps are not seen."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        network(probe_NCHW)
    for norm in norms:
        norm.eval()


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _close(result: torch.Tensor, wanted: torch.Tensor, tolerance: float = _TOLERANCE) -> bool:
    if result.shape != wanted.shape:
        return False
    return bool((result - wanted).abs().max() <= tolerance * wanted.abs().max())
