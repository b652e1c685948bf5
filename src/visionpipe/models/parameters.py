"""Typed parameters of training (`conf/base/parameters_training.yml`)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from visionpipe.models.recipe_parameters import (
    AugmentationParameters,
    CalibrationParameters,
    LossParameters,
)

View = Literal[
    "identity",
    "horizontal_flip",
    "vertical_flip",
    "rotate_180",
    "transpose",
    "rotate_90",
    "rotate_270",
    "transverse",
]
Auto = Literal["auto"]


class TrainingParameters(BaseModel):
    """How a backbone becomes a classifier of the user's classes.

    A field that is `auto` is resolved from the data (`visionpipe.models.training.recipe`); the log says why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str = "efficientnet-lite0"
    """`efficientnet-lite0` (weights come by pip), `timm/<name>` or `torchvision/<name>`."""
    weights: str = "package"
    """`package`, `none`, `hub` (the usual cache; downloads when absent), or a path to .safetensors / .pth."""
    image_size_px: Annotated[int, Field(ge=32, le=1024)] = 192
    """Side of the square that every photo is scaled to [pixels]."""
    mode: Literal["probe", "finetune", "scratch"] = "finetune"
    """`probe`: a new head alone. `finetune`: then the last stages, then perhaps all. `scratch`: all, from nothing."""
    tuned_stages: Annotated[int, Field(ge=1)] | Auto = "auto"
    """How many of the last stages with weights move in `finetune`."""
    views: Annotated[tuple[View, ...], Field(min_length=1)] = ("identity", "horizontal_flip")
    """Symmetries of the photos; each training image is seen in all of them."""
    augmented_views: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Randomly augmented views of each image cached at the freezing point, beside `views`."""
    probe_epochs: Annotated[int, Field(ge=1)] = 60
    """Epochs of the head on cached features (milliseconds each)."""
    epochs: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Epochs of the last stages on cached activations."""
    whole_network_epochs: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Epochs of the whole network on augmented photos: after `epochs` in `finetune`, the only ones in `scratch`."""
    first_size: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Side of the photos in the first epoch of the whole network, as a share of `image_size_px`; they grow to it."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """A phase ends when the validation loss has not fallen for so many epochs; null runs all of them."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Images a step, over all processes."""
    learning_rate: Annotated[float, Field(gt=0)] | Auto = "auto"
    """Peak learning rate of the backbone's last stage; the head learns three times as fast."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The learning rate of a stage is that of the next one times this."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decoupled weight decay."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of features dropped before the head while training."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"
    """Decay a step of the moving average of the weights, which is what is kept; 0 keeps the weights themselves."""
    distance_to_start: Annotated[float, Field(ge=0)] = 0.0
    """Weight of half the squared distance to the pretrained weights, against forgetting (L2-SP, Li et al. 2018)."""
    feature_distillation: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean squared distance of pooled features to the pretrained network's, against forgetting."""
    augmentation: AugmentationParameters = AugmentationParameters()
    """Random changes of the photos."""
    loss: LossParameters = LossParameters()
    """What is minimised, and how classes are balanced."""
    calibration: CalibrationParameters = CalibrationParameters()
    """How confidence is made to mean what it says, and where decisions are cut."""
    average_views: bool = False
    """Predictions are the mean over all `views`: more accurate, and as many times as slow as there are views."""
    deferral_accuracy: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Accuracy wanted of the predictions that are not deferred to a person."""
    activation_cache_gib: Annotated[float, Field(gt=0)] = 2.0
    """Memory for activations cached at the freezing point, of training and of validation images each and in each
    process; beyond it the trunk runs every epoch [GiB]."""
    resident_gib: Annotated[float, Field(ge=0)] = 4.0
    """A split whose pixels need no more stays on the GPU as a whole [GiB]."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU when there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Autocast precision of forward passes; weights are float32."""
    compile: bool = False
    """Compile the network with torch.compile: minutes at the start, faster epochs on a GPU."""
    processes: Annotated[int, Field(ge=1)] = 1
    """Processes that train together, each on its own GPU (or share of the CPU); `batch_size` is divided among them."""
    seed: Annotated[int, Field(ge=0)] = 20260105
    """Seed of everything random; on a CPU the same seed and number of threads give bit-identical weights."""

    @model_validator(mode="after")
    def _passes_differ(self) -> Self:
        if self.calibration.mc_dropout_passes and not self.dropout:
            raise ValueError("calibration.mc_dropout_passes: all passes are alike at dropout: 0")
        return self

    @model_validator(mode="after")
    def _there_is_something_to_forget(self) -> Self:
        for name in ("distance_to_start", "feature_distillation"):
            if self.mode == "scratch" and getattr(self, name):
                raise ValueError(
                    f"{name}: mode: scratch starts from random weights, which nothing is to hold on to"
                )
        return self

    @model_validator(mode="after")
    def _something_moves(self) -> Self:
        if self.whole_network_epochs == 0 and (
            self.mode == "scratch" or (self.mode == "finetune" and self.epochs == 0)
        ):
            raise ValueError(
                f"mode: {self.mode} with whole_network_epochs: 0"
                f"{' and epochs: 0' if self.mode == 'finetune' else ''} trains nothing; use mode: probe, or more epochs"
            )
        return self
