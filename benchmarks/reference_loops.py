"""The loops that training is measured against, each written the way its library's users write it.

`torchvision_style` follows torchvision's references/classification (SGD with momentum, random resized crops, an
evaluation each epoch), `timm_style` timm's train script (its loader, optimiser and scheduler factories, label
smoothing, colour jitter), both with a DataLoader from files in worker processes. `in_memory` is a loop without any
data loading: the same tensors every step, on the device already. On a GPU all have cuDNN time its algorithms, as both
scripts do.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler
from torchvision import transforms

from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.depthwise import FastDepthwise
from visionpipe.models.training.frozen_trunk import autocast as own_autocast


@dataclass(frozen=True)
class LabelledFiles:
    """Paths with class codes."""

    paths: Sequence[str]
    codes: Sequence[int]


@dataclass(frozen=True)
class Task:
    """What is learned, from what, for how long."""

    parameters: TrainingParameters
    n_classes: int
    training: LabelledFiles
    validation: LabelledFiles
    epochs: int
    workers: int
    device: torch.device


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought.

    Attributes
    ----------
    seconds : float
        Since the loop was started, data loading and evaluation included.
    images_per_s : float
        Of the training part alone.
    auc : float
        Validation, of the second class (two classes) or macro one-against-rest.
    """

    seconds: float
    images_per_s: float
    auc: float


class Files(Dataset):
    """RGB images from files."""

    def __init__(self, files: LabelledFiles, transform: object = None) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files.paths[index]) as image:
            sample = image.convert("RGB")
        return self.transform(sample), self.files.codes[index]


def network(task: Task) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """Build the backbone that training starts from, with a new linear head."""
    torch.manual_seed(task.parameters.seed)
    backbone = build_backbone(
        task.parameters.backbone, task.parameters.weights, task.parameters.image_size_px
    )
    layers = OrderedDict(
        trunk=nn.Sequential(*backbone.stages),
        flatten=nn.Flatten(),
        head=nn.Linear(backbone.n_features, task.n_classes),
    )
    return nn.Sequential(layers).to(task.device), backbone.mean, backbone.std


def torchvision_style(task: Task) -> Iterator[Epoch]:
    """Fine-tune as torchvision's reference script does; yields after each epoch."""
    start, side = time.perf_counter(), task.parameters.image_size_px
    _time_algorithms(task.device)
    model, mean, std = network(task)
    to_tensor = [
        transforms.PILToTensor(),
        transforms.ConvertImageDtype(torch.float),
        transforms.Normalize(mean=mean, std=std),
    ]
    for_training = transforms.Compose(
        [transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(0.5), *to_tensor]
    )
    for_validation = transforms.Compose(
        [transforms.Resize(round(side * 256 / 224)), transforms.CenterCrop(side), *to_tensor]
    )
    dataset, dataset_test = Files(task.training, for_training), Files(task.validation, for_validation)
    shared = {
        "batch_size": task.parameters.batch_size,
        "num_workers": task.workers,
        "pin_memory": task.device.type == "cuda",
    }
    data_loader = DataLoader(dataset, sampler=RandomSampler(dataset), **shared)
    data_loader_test = DataLoader(dataset_test, sampler=SequentialSampler(dataset_test), **shared)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=task.epochs)
    for _ in range(task.epochs):
        began = time.perf_counter()
        model.train()
        for image, target in data_loader:
            image, target = image.to(task.device), target.to(task.device)
            with autocast(task):
                loss = criterion(model(image), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # its metric logger reads it every step
        scheduler.step()
        rate = len(dataset) / (time.perf_counter() - began)
        auc = validation_auc(model, data_loader_test, task)
        yield Epoch(time.perf_counter() - start, rate, auc)


def timm_style(task: Task) -> Iterator[Epoch]:
    """Fine-tune as timm's train script does; yields after each epoch."""
    from timm.data import create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import AverageMeter

    start, side = time.perf_counter(), task.parameters.image_size_px
    _time_algorithms(task.device)
    model, mean, std = network(task)
    shared = {
        "input_size": (3, side, side),
        "batch_size": task.parameters.batch_size,
        "mean": mean,
        "std": std,
        "num_workers": task.workers,
        "pin_memory": task.device.type == "cuda",
        "device": task.device,
        "use_prefetcher": task.device.type == "cuda",
        "persistent_workers": task.workers > 0,
    }
    loader_train = create_loader(Files(task.training), is_training=True, interpolation="random", **shared)
    loader_eval = create_loader(Files(task.validation), is_training=False, **shared)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=3e-4, weight_decay=0.05)
    lr_scheduler, num_epochs = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=task.epochs,
        warmup_epochs=min(1, task.epochs - 1),
        updates_per_epoch=len(loader_train),
        step_on_epochs=False,
    )
    train_loss_fn = LabelSmoothingCrossEntropy(smoothing=0.1)
    layout = torch.channels_last if task.device.type == "cuda" else torch.contiguous_format  # --channels-last
    model = model.to(memory_format=layout)
    num_updates = 0
    for epoch in range(num_epochs):
        began, losses = time.perf_counter(), AverageMeter()
        lr_scheduler.step_update(epoch * len(loader_train))
        model.train()
        seen = 0
        for image, target in loader_train:
            image, target = image.to(task.device, memory_format=layout), target.to(task.device)
            with autocast(task):
                loss = train_loss_fn(model(image), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if num_updates % 50 == 0:  # its log interval
                losses.update(loss.item(), image.size(0))
            num_updates, seen = num_updates + 1, seen + image.size(0)
            lr_scheduler.step_update(num_updates=num_updates)
        rate = seen / (time.perf_counter() - began)
        auc = validation_auc(model, loader_eval, task)
        yield Epoch(time.perf_counter() - start, rate, auc)


LOOPS = {"torchvision": torchvision_style, "timm": timm_style}


def run_loop(name: str, task: Task) -> list[Epoch]:
    """Run one of the loops to its end, and print each epoch."""
    epochs = []
    for epoch in LOOPS[name](task):
        epochs.append(epoch)
        print(
            f"{name}: {epoch.seconds:.1f} s, AUC {epoch.auc:.4f}, {epoch.images_per_s:.1f} images/s",
            flush=True,
        )
    return epochs


def autocast(task: Task) -> torch.autocast:
    """Autocast as the parameters say."""
    wanted = task.parameters.precision == "bfloat16"
    return torch.autocast(task.device.type, dtype=torch.bfloat16, enabled=wanted)


@torch.inference_mode()
def validation_auc(model: nn.Module, loader: DataLoader, task: Task) -> float:
    """Score the validation images; NaN when they show a single class."""
    model.eval()
    probabilities, codes = [], []
    for image, target in loader:
        with autocast(task):
            output = model(image.to(task.device))
        probabilities.append(output.float().softmax(dim=1).cpu())
        codes.append(target.cpu())
    probabilities_NK, codes_N = torch.cat(probabilities).double().numpy(), torch.cat(codes).numpy()
    if len(set(codes_N.tolist())) < task.n_classes:
        return math.nan
    scores = probabilities_NK[:, 1] if task.n_classes == 2 else probabilities_NK
    return float(roc_auc_score(codes_N, scores, multi_class="ovr"))


def in_memory(
    parameters: TrainingParameters, n_images: int, device: torch.device, *, own_gradients: bool
) -> Iterator[float]:
    """Train all weights of the model on random tensors that lie on the device; yield images a second, epoch by epoch.

    A step is the forward and backward pass and AdamW's: without what ours has beside (augmentation, mixing, dropout,
    label smoothing, clipping, the moving average).

    Parameters
    ----------
    parameters : TrainingParameters
        With `precision` resolved.
    own_gradients : bool
        Whether depthwise convolutions in bfloat16 have our gradients on a CPU, or torch's own.
    """
    _time_algorithms(device)
    side, batch = parameters.image_size_px, parameters.batch_size
    spec = ModelSpec(
        backbone=parameters.backbone, weights=parameters.weights, classes=["a", "b"], image_size_px=side
    )
    model = ImageClassifier(spec, build_backbone(parameters.backbone, parameters.weights, side))
    model = model.to(device).train()
    images_NCHW = torch.randn(8 * batch, 3, side, side, device=device)
    images_NCHW = images_NCHW.to(memory_format=torch.channels_last)
    codes_N = torch.randint(0, 2, (len(images_NCHW),), device=device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    precision = own_autocast(parameters, device)
    depthwise = FastDepthwise() if own_gradients and device.type == "cpu" else nullcontext()
    steps = -(-n_images // batch)
    while True:
        _wait(device)
        began = time.perf_counter()
        for step in range(steps):
            rows = slice(step % 8 * batch, step % 8 * batch + batch)
            with precision, depthwise:
                logits_BK = model.head(model.run_stages(images_NCHW[rows], 0))
            loss = nn.functional.cross_entropy(logits_BK.float(), codes_N[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        _wait(device)
        yield steps * batch / (time.perf_counter() - began)


def _time_algorithms(device: torch.device) -> None:
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
