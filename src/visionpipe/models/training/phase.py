"""One phase of training: epochs over what moves, a checkpoint after each, the best one kept.

Legend: N images, B batch, K classes, D features.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from visionpipe.models.classifier import ImageClassifier, inference_batch_size
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.average import MovingAverage
from visionpipe.models.training.chance import generator, seed_libraries
from visionpipe.models.training.checkpoint import Checkpoints, Snapshot
from visionpipe.models.training.curves import Curves, Score, finite, score
from visionpipe.models.training.distributed import Team
from visionpipe.models.training.feeds import Feed
from visionpipe.models.training.fold import PROBED_IMAGES, folded
from visionpipe.models.training.frozen_trunk import autocast
from visionpipe.models.training.losses import Loss, balanced_order
from visionpipe.models.training.memory import Passes
from visionpipe.models.training.selection import Selection, unjudged_classes
from visionpipe.models.training.step import FEWEST_NORMALISED, Draw, Step
from visionpipe.models.training.tail import Tail, make_optimiser, pooled, set_rate, warm_up_cosine
from visionpipe.models.training.transfer import sent
from visionpipe.progress import progress_bar

logger = logging.getLogger(__name__)
LAST_STAGES, WHOLE_NETWORK = "last_stages", "whole_network"
_LOOKS = 32  # steps between two looks at whether the loss is still a number; each makes a GPU wait


@dataclass(frozen=True)
class Phase:
    """What is trained in it.

    Attributes
    ----------
    number : int
        Its place in the training, from 1.
    name : str
        `last_stages`, or `whole_network`, in which batch normalisation learns new statistics too.
    epochs : int
        At most.
    from_chance : bool
        Whether it starts from weights drawn at random, of the head at least: there is nothing to fall back on.
    """

    number: int
    name: str
    epochs: int
    from_chance: bool = False


@dataclass(frozen=True)
class Setting:
    """What all phases share.

    Attributes
    ----------
    start : torch.nn.ModuleList or None
        The stages before training; None when nothing holds on to them.
    criterion : Loss
        What is minimised.
    weights_NK : torch.Tensor or None
        Of the validation targets (`judging_weights`).
    """

    classifier: ImageClassifier
    start: nn.ModuleList | None
    criterion: Loss
    weights_NK: torch.Tensor | None
    parameters: TrainingParameters
    team: Team
    checkpoints: Checkpoints | None
    curves: Curves


class PhaseTraining:
    """A phase under way: all that changes from epoch to epoch, which is what a checkpoint holds."""

    def __init__(self, phase: Phase, setting: Setting, feed: Feed) -> None:
        self._phase, self._setting, self._feed = phase, setting, feed
        parameters, device = setting.parameters, setting.classifier.mean.device
        self._tail = Tail(setting.classifier, feed.first)
        for weight in self._tail.parameters():
            weight.requires_grad_(True)
        self._optimiser = make_optimiser(self._tail, parameters)
        decay = float(parameters.ema_decay)
        self._ema = MovingAverage(self._tail, decay) if decay else None
        start = None if setting.start is None else setting.start[feed.first :]
        cuts = phase.name == WHOLE_NETWORK  # which is fed photos
        self._step = Step(
            self._tail, self._optimiser, setting.criterion, parameters, setting.team, start, cuts=cuts
        )
        self._autocast = autocast(parameters, device)
        self._passes = Passes(inference_batch_size(device))
        self._best: dict[str, torch.Tensor] = {}
        self._judges = not unjudged_classes(feed.targets_NK, feed.held_out_NK)
        self._selection, self._done = Selection(judges=self._judges), 0

    def run(self, resumed: Snapshot | None = None) -> None:
        """Train to the end of the phase, from where a snapshot stands if there is one; the best weights stay."""
        if resumed is not None:
            self._restore(resumed)
        n_images, total = len(self._feed.targets_NK), self._phase.epochs * len(self._feed.targets_NK)
        with progress_bar() as progress:
            title = self._phase.name.replace("_", " ").capitalize()
            task = progress.add_task(title, total=total, completed=self._done * n_images, note="")
            if resumed is None and not self._phase.from_chance:
                self._selection.start(self._validate(self._tail).losses_N)  # a phase may not make it worse
                self._keep(self._tail)
            while self._done < self._phase.epochs and not self._out_of_patience():
                note = self._epoch(lambda count: progress.advance(task, count))
                progress.update(task, note=note)
                self._save()
                logger.info("%s: %s", title, note)  # whoever reads it may stop the run and go on from there
        if self._judges and self._selection.stale == self._done:
            logger.warning(
                "%s: no epoch lowered the validation loss (%.3f before the first); the weights from before are kept",
                *(title, self._selection.before),
            )
        self._tail.load_state_dict(self._best)
        self._tail.eval()

    def _epoch(self, advance: Callable[[int], None]) -> str:
        """Train and validate for an epoch; return what is shown of it."""
        curves, n_images, began = self._setting.curves, len(self._feed.targets_NK), time.perf_counter()
        train_loss = self._train(advance)
        trained = time.perf_counter()
        kept, last_good = self._tail if self._ema is None else self._ema.module, self._last_good()
        self._setting.team.broadcast(self._tail)  # each process has met other photos: batch statistics differ
        self._setting.team.broadcast(kept)
        found = self._validate(kept)
        finite(found.loss, f"the validation loss of epoch {self._done + 1}", last_good)
        self._done += 1
        if improved := self._selection.offer(found.losses_N):
            self._keep(kept)
        rates = [
            warm_up_cosine(step, self._phase.epochs * self._steps_per_epoch)
            for step in range((self._done - 1) * self._steps_per_epoch, self._done * self._steps_per_epoch)
        ]
        curves.add(
            phase=self._phase.name,
            train_loss=train_loss,
            validation_loss=found.loss,
            validation_accuracy=found.accuracy,
            validation_auc=found.auc,
            learning_rate=float(self._setting.parameters.learning_rate) * max(rates),
            improved=improved,
            rise=self._selection.rise if self._judges else 0.0,
            images_per_s=n_images / (trained - began),
            seconds=time.perf_counter() - began,
        )
        curves.require_progress(self._feed.targets_NK.shape[1], last_good)
        return (
            f"epoch {self._done} of {self._phase.epochs}, loss {train_loss:.3f}, validation {found.loss:.3f}, "
            f"accuracy {found.accuracy:.1%}"
        )

    @property
    def _steps_per_epoch(self) -> int:
        n_images, batch_size = len(self._feed.targets_NK), self._setting.parameters.batch_size
        steps, fewest = math.ceil(n_images / batch_size), FEWEST_NORMALISED * self._setting.team.size
        if self._phase.name == WHOLE_NETWORK and n_images // steps < fewest:
            return max(1, n_images // max(batch_size, fewest))
        return steps

    def _train(self, advance: Callable[[int], None]) -> float:
        """Go once through the training images and return their mean loss."""
        parameters, team = self._setting.parameters, self._setting.team
        place = (self._phase.name, self._done + 1)
        seed_libraries(parameters.seed, *place, team.rank)
        draw = Draw(
            generator(parameters.seed, "dropout", *place),
            generator(parameters.seed, "mixing", *place, team.rank),
        )
        # stages that were run once and cached keep the statistics of the pretrained network, and so do those after them
        self._tail.train(self._phase.name == WHOLE_NETWORK)
        batches = np.array_split(self._order(place), self._steps_per_epoch)
        shares = [team.share(index_B) for index_B in batches]
        total = torch.zeros((), device=self._feed.targets_NK.device, dtype=torch.float64)
        first_step, steps = self._done * len(batches), self._phase.epochs * len(batches)
        for step, (index_B, inputs) in enumerate(self._feed.stream(shares, place)):
            set_rate(self._optimiser, first_step + step, steps)
            targets_BK = self._feed.targets_NK[sent(torch.from_numpy(index_B), inputs.device)]
            n_all = len(batches[step])
            total += n_all * self._step.take(inputs, targets_BK, n_all, draw)
            if self._ema is not None:
                self._ema.update_parameters(self._tail)
            if step % _LOOKS == 0:
                finite(total.item(), f"the loss of epoch {place[1]}", self._last_good())
            advance(n_all)
        mean = team.mean(total.item()) / sum(map(len, batches))
        return finite(mean, f"the loss of epoch {place[1]}", self._last_good())

    def _order(self, place: tuple[str | int, ...]) -> np.ndarray:
        chance = generator(self._setting.parameters.seed, "order", *place)
        if self._setting.parameters.loss.imbalance == "balanced_sampling":
            return balanced_order(self._feed.targets_NK.argmax(1).cpu(), chance).numpy()
        return torch.randperm(len(self._feed.targets_NK), generator=chance).numpy()

    @torch.no_grad()
    def _validate(self, tail: Tail) -> Score:
        tail.eval()
        n_images = len(self._feed.held_out_NK)
        stages = folded(tail.stages, self._feed.held_out(np.arange(n_images)[:PROBED_IMAGES]))

        def logits(index_B: np.ndarray) -> torch.Tensor:
            with self._autocast:
                return tail.head(pooled(stages, self._feed.held_out(index_B))).float()

        mine = self._setting.team.share(np.arange(n_images))
        parts = [rows for _, rows in self._passes.over(logits, mine)]
        logits_NK = self._setting.team.gather(torch.cat(parts))
        return score(logits_NK, self._feed.held_out_NK, self._setting.weights_NK)

    def _keep(self, tail: Tail) -> None:
        self._best = {name: tensor.clone() for name, tensor in tail.state_dict().items()}

    def _out_of_patience(self) -> bool:
        patience, stale = self._setting.parameters.patience, self._selection.stale
        if patience is None or stale < patience or not self._judges:
            return False
        logger.info(
            "Stopped early: the validation loss has not fallen for %d epochs (training.patience)", stale
        )
        return True

    def _last_good(self) -> str:
        if self._setting.checkpoints is None or not self._setting.curves.epoch:
            return ""
        return f"; epoch {self._setting.curves.epoch[-1]} is kept in {self._setting.checkpoints}"

    def _save(self) -> None:
        setting = self._setting
        if setting.checkpoints is None or not setting.team.is_first:
            return
        tensors = {f"tail.{name}": each for name, each in self._tail.state_dict().items()}
        tensors |= {f"best.{name}": each for name, each in self._best.items()}
        if self._ema is not None:
            tensors |= {f"ema.{name}": each for name, each in self._ema.state_dict().items()}
        for number, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": each for name, each in state.items()}
        assert self._selection.lowest_N is not None, "an epoch has ended"
        tensors["lowest.losses_N"] = self._selection.lowest_N
        facts = {
            "phase": self._phase.number,
            "done": self._done,
            "loss_before": self._selection.before,
            "stale": self._selection.stale,
            "micro_batch": self._step.micro_batch.size,
            "curves": asdict(setting.curves),
        }
        setting.checkpoints.save(self._phase.number, self._done, Snapshot(facts, tensors))

    def _restore(self, snapshot: Snapshot) -> None:
        facts = snapshot.facts
        self._done = facts["done"]
        lowest_N = snapshot.part("lowest")["losses_N"].to(self._feed.held_out_NK.device)
        self._selection = Selection(lowest_N, facts["loss_before"], facts["stale"], judges=self._judges)
        self._step.micro_batch.size = min(self._step.micro_batch.size, facts["micro_batch"])
        self._tail.load_state_dict(snapshot.part("tail"))
        if self._ema is not None:
            self._ema.load_state_dict(snapshot.part("ema"))
        own = self._tail.state_dict()
        self._best = {name: torch.empty_like(own[name]).copy_(t) for name, t in snapshot.part("best").items()}
        restore_optimiser(self._optimiser, snapshot.part("optimiser"))


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give an optimiser the state that it had, each tensor laid out in memory as its weight is.

    Parameters
    ----------
    tensors : dict
        `<number of the weight>.<name>` -> tensor.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".")
        weight = weights[int(number)]
        fits = tensor.shape == weight.shape and tensor.ndim > 0
        # the fused step walks through weight and moments in the order of their bytes
        value = torch.empty_like(weight).copy_(tensor) if fits else tensor
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
