"""Typed parameters of training (`conf/base/parameters_training.yml`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

View = Literal["identity", "horizontal_flip", "vertical_flip", "rotate_180"]


class TrainingParameters(BaseModel):
    """How a backbone becomes a classifier of the user's classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str = "efficientnet-lite0"
    """`efficientnet-lite0` (weights come by pip), `timm/<name>` or `torchvision/<name>`."""
    weights: str = "package"
    """`package`, `none`, `hub` (the usual cache; downloads when absent), or a path to .safetensors / .pth."""
    image_size_px: Annotated[int, Field(ge=32, le=1024)] = 192
    """Side of the square that every photo is scaled to [pixels]."""
    mode: Literal["probe", "finetune"] = "finetune"
    """`probe`: frozen backbone, new head. `finetune`: then the last stages too."""
    tuned_stages: Annotated[int, Field(ge=1)] = 4
    """How many of the last stages with weights move in `finetune`."""
    views: Annotated[tuple[View, ...], Field(min_length=1)] = ("identity", "horizontal_flip")
    """Symmetries of the photos; each training image is seen in all of them."""
    probe_epochs: Annotated[int, Field(ge=1)] = 60
    """Epochs of the head on cached features (milliseconds each)."""
    epochs: Annotated[int, Field(ge=1)] = 12
    """Epochs of the fine-tune."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Images a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """Peak learning rate of the backbone's last stages; the head learns three times as fast."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decoupled weight decay."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of features dropped before the head while training."""
    deferral_accuracy: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Accuracy wanted of the predictions that are not deferred to a person."""
    activation_cache_gib: Annotated[float, Field(gt=0)] = 2.0
    """Memory for activations cached at the freezing point; beyond it the trunk runs every epoch [GiB]."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU when there is one."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Autocast precision; bfloat16 only pays on a GPU."""
    seed: Annotated[int, Field(ge=0)] = 20260105
    """Seed of everything random; the same seed gives bit-identical weights on a CPU."""
