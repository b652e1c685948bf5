"""A recipe for the data at hand: resolves every parameter that is `auto`, and says why.

Legend: N images, K classes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.recipe_parameters import LossParameters

logger = logging.getLogger(__name__)
_FEW = 150  # images: too few to move a whole network
_MANY = 5000  # images, from which on mixing them pays in a training from scratch
_TAIL_EPOCHS, _FEW_EPOCHS = 8, 20
_ENOUGH_EPOCHS = 6  # of the whole network, to need no phase before it
_AVERAGED, _FEWEST_AVERAGED, _LARGEST_EMA = 0.1, 100, 0.9998  # share of all steps; steps; decay a step
_DOUBT, _MOSTLY = 0.01, 0.95
SMALLEST_BATCH = 256  # of features in the head's fit, which are small
_IMBALANCED = 10.0  # largest class over smallest


@dataclass(frozen=True)
class Choice:
    """What an `auto` became.

    Attributes
    ----------
    name : str
        The parameter, below `training.`.
    value : object
        What it is now.
    why : str
        One clause.
    """

    name: str
    value: object
    why: str


def resolve(
    parameters: TrainingParameters, targets_NK: torch.Tensor, device: torch.device
) -> tuple[TrainingParameters, list[Choice]]:
    """Replace every `auto` by what suits the training images and the device.

    Parameters
    ----------
    targets_NK : torch.Tensor
        Soft targets of the training images.
    """
    choices = [
        choice
        for choice in _choices(parameters, targets_NK, device)
        if _value(parameters, choice.name) == "auto"
    ]
    top = {choice.name: choice.value for choice in choices if "." not in choice.name}
    for block in ("augmentation", "loss"):
        inside = {
            choice.name.partition(".")[2]: choice.value
            for choice in choices
            if choice.name.startswith(f"{block}.")
        }
        top[block] = getattr(parameters, block).model_copy(update=inside)
    resolved = parameters.model_copy(update=top)
    idle = _idle(resolved)
    return resolved, [choice for choice in choices if not {choice.name, choice.name.partition(".")[0]} & idle]


def unread(parameters: TrainingParameters, resolved: TrainingParameters) -> list[str]:
    """Name the parameters that differ from their defaults and that no phase of this training reads.

    Parameters
    ----------
    parameters, resolved : TrainingParameters
        As the user gave them, and as `resolve` returned them.
    """
    idle, defaults = _idle(resolved), TrainingParameters()
    names = list(TrainingParameters.model_fields)
    for block in ("augmentation", "loss"):
        if block not in idle:
            names += [f"{block}.{name}" for name in type(getattr(defaults, block)).model_fields]
    return [name for name in names if name in idle and _value(parameters, name) != _value(defaults, name)]


def freezes(resolved: TrainingParameters) -> bool:
    """Say whether the training begins with layers frozen, and a head fitted to what they give."""
    return resolved.mode == "probe" or (resolved.mode == "finetune" and bool(resolved.epochs))


def _idle(resolved: TrainingParameters) -> set[str]:
    """Name what no phase of a training reads; a block's name stands for all of it."""
    tuned = resolved.mode == "finetune"
    whole = resolved.mode == "scratch" or (tuned and resolved.whole_network_epochs)
    last_stages = tuned and resolved.epochs
    cached = freezes(resolved)
    idle: set[str] = set()
    if not whole:
        idle |= {"first_size"} if cached and resolved.augmented_views else {"first_size", "augmentation"}
    if not last_stages:
        idle |= {"tuned_stages"}
    if not (whole or last_stages):
        idle |= {"epochs", "whole_network_epochs", "patience", "learning_rate", "layer_decay", "ema_decay"}
        idle |= {"distance_to_start", "feature_distillation", "compile"}
        idle |= {"batch_size"} if resolved.batch_size <= SMALLEST_BATCH else set()
    if not cached:
        idle |= {"probe_epochs", "augmented_views", "activation_cache_gib"}
    if resolved.mode == "scratch":
        idle |= {"epochs", "weights"}
    if not resolved.augmentation.strength:
        idle |= {f"augmentation.{name}" for name in type(resolved.augmentation).model_fields} - {
            "augmentation.strength"
        }
    return idle | {f"loss.{name}" for name in _idle_of_loss(resolved.loss, cuts=bool(whole))}


def _idle_of_loss(loss: LossParameters, *, cuts: bool) -> set[str]:
    idle: set[str] = set()
    if not cuts:
        idle.add("cutmix_alpha")
    if not loss.mixup_alpha and not (cuts and loss.cutmix_alpha):
        idle.add("mix_share")
    if loss.imbalance != "class_weights":
        idle |= {"class_weighting", "effective_number_beta"}
    elif loss.class_weighting != "effective_number":
        idle.add("effective_number_beta")
    if loss.imbalance != "focal":
        idle.add("focal_gamma")
    if loss.imbalance != "logit_adjustment":
        idle.add("logit_adjustment_tau")
    return idle


def log_choices(choices: list[Choice]) -> None:
    """Write one line a choice."""
    for choice in choices:
        logger.info("training.%s: %s, since %s", choice.name, choice.value, choice.why)


def _value(parameters: TrainingParameters, name: str) -> object:
    value: object = parameters
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _choices(
    parameters: TrainingParameters, targets_NK: torch.Tensor, device: torch.device
) -> Iterator[Choice]:
    """List what every `auto` that matters in this mode would become."""
    n_images = len(targets_NK)
    seen = f"{n_images} training images"
    few, scratch, tuned = n_images < _FEW, parameters.mode == "scratch", parameters.mode == "finetune"
    where = "GPU" if device.type == "cuda" else "CPU"
    fastest = default_precision(device, compiled=parameters.compile)
    precision = fastest if parameters.precision == "auto" else parameters.precision
    whole = _whole_network_epochs(n_images, parameters.first_size, scratch, device, precision)
    if tuned and parameters.epochs == 0:  # then something else has to train
        whole = max(whole, _FEW_EPOCHS if few else 1)
    yield Choice("whole_network_epochs", whole, f"{seen} on a {where} in {precision}")
    if parameters.whole_network_epochs != "auto":
        whole = parameters.whole_network_epochs
    enough = whole >= _ENOUGH_EPOCHS
    epochs = 0 if enough else (_FEW_EPOCHS if few else _TAIL_EPOCHS)
    yield Choice("epochs", epochs, f"the whole network moves for {whole} epochs" if enough else seen)
    if parameters.epochs != "auto":
        epochs = parameters.epochs
    yield Choice("tuned_stages", 4, "the last stages are the ones that know what things are called")
    yield Choice("augmented_views", 8 if few else 0, seen)
    steps = max(1, (whole or epochs) * n_images // parameters.batch_size)
    ema = min(_LARGEST_EMA, 1 - 1 / (_AVERAGED * steps)) if steps >= _FEWEST_AVERAGED else 0.0
    yield Choice("ema_decay", round(ema, 4), f"about {steps} steps, averaged over a tenth of them")
    at_once = scratch or (tuned and not epochs)
    rate, why = (1e-3, "everything moves at once") if at_once else (3e-4, "the last stages move first")
    yield Choice("learning_rate", rate, why)
    strength = 0.5 if scratch else 0.25 if few else 0.1
    yield Choice("augmentation.strength", strength, f"{seen}, mode {parameters.mode}")
    hard = bool((targets_NK.max(1).values > 1 - _DOUBT).float().mean() > _MOSTLY) if n_images else True
    yield Choice(
        "loss.label_smoothing",
        0.05 if hard else 0.0,
        "labels show no doubt of their own" if hard else "labels carry their own doubt",
    )
    long = scratch and n_images >= _MANY
    yield Choice("loss.mixup_alpha", 0.2 if long else 0.0, f"{seen}, mode {parameters.mode}")
    yield Choice("loss.cutmix_alpha", 1.0 if long else 0.0, f"{seen}, mode {parameters.mode}")
    counts_K = targets_NK.sum(0)
    ratio = float(counts_K.max() / counts_K.min().clamp(min=1)) if n_images else 1.0
    yield Choice(
        "loss.imbalance",
        "class_weights" if ratio > _IMBALANCED else "none",
        f"the largest class has {ratio:.1f} times the images of the smallest",
    )
    yield Choice("precision", fastest, f"this {where}'s instructions")


def _whole_network_epochs(
    n_images: int, first_size: float, scratch: bool, device: torch.device, precision: str
) -> int:
    """Return how often the whole network sees each photo: minutes on a CPU, more on a GPU, not on a few photos."""
    if scratch:
        images, fewest, most = 120_000, 20, 200
    elif device.type == "cuda":
        images, fewest, most = 60_000, 8, 30
    else:
        images, fewest, most = (26_000, 0, 14) if precision == "bfloat16" else (16_000, 0, 10)
    if n_images < _FEW and not scratch:
        return 0
    cost = (1 + first_size + first_size**2) / 3  # the mean of the square of a side that grows evenly
    return min(most, max(fewest, round(images / cost / max(n_images, 1))))


def default_precision(device: torch.device, *, compiled: bool = False) -> str:
    """Return the fastest precision that a device trains well in.

    On a CPU without instructions for it bfloat16 is emulated, and in a compiled network its depthwise convolutions
    have torch's own gradients (`training.depthwise`).
    """
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_it = not compiled and (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
    return "bfloat16" if has_it else "float32"
