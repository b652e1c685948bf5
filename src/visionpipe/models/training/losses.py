"""What training minimises: cross-entropy with soft targets, and its variants for classes of unequal size.

Legend: N images, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from visionpipe.models.recipe_parameters import LossParameters

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From logits_BK and targets_BK (float rows that sum to 1) to the mean loss of the batch."""
_FEWEST = 1e-3  # images of a class in sums of soft targets


def build_loss(parameters: LossParameters, counts_K: torch.Tensor) -> Loss:
    """Return the loss to train with.

    `balanced_sampling` changes the order of the images (`balanced_order`), not the loss. Label smoothing is spread so
    that it ends up even over the classes after `class_weights` and `logit_adjustment`, at inverse frequency by the
    classes' shares: an even share of a rare class, weighed like one of its images, would outweigh a common label.

    Parameters
    ----------
    parameters : LossParameters
        With `imbalance` and `label_smoothing` resolved.
    counts_K : torch.Tensor
        Training images of each class, all > 0; sums of soft targets will do. On the device of the logits.
    """
    spread_K = torch.ones_like(counts_K)
    loss: Loss = functional.cross_entropy
    if parameters.imbalance == "class_weights":
        weights_K = _class_weights(parameters, counts_K)
        loss, spread_K = partial(functional.cross_entropy, weight=weights_K), 1 / weights_K
    elif parameters.imbalance == "focal":
        loss = partial(focal_loss, gamma=parameters.focal_gamma)
    elif parameters.imbalance == "logit_adjustment":
        shift_K = logit_shift(counts_K, parameters.logit_adjustment_tau)
        loss, spread_K = partial(_shifted_cross_entropy, shift_K=shift_K), shift_K.softmax(0)
    smoothing = float(parameters.label_smoothing)
    return lambda logits_BK, targets_BK: loss(logits_BK, smooth_targets(targets_BK, smoothing, spread_K))


def judging_weights(
    parameters: LossParameters, training_NK: torch.Tensor, judged_MK: torch.Tensor
) -> torch.Tensor | None:
    """Return what the targets of validation images weigh in the loss by which epochs are chosen; None: all alike.

    As much as in training. A network that is taught balanced classes looks worse, by a loss at their natural
    frequencies, than one that has learned to name the largest.

    Parameters
    ----------
    training_NK, judged_MK : torch.Tensor
        Soft targets of the training images, and of the validation images, on one device.

    Returns
    -------
    torch.Tensor or None
        (M, K).
    """
    counts_K = target_counts(training_NK)
    if parameters.imbalance == "class_weights":
        return _class_weights(parameters, counts_K).expand_as(judged_MK)
    if parameters.imbalance == "logit_adjustment":
        return _mean_one(counts_K**-parameters.logit_adjustment_tau, counts_K).expand_as(judged_MK)
    if parameters.imbalance == "balanced_sampling":  # draws images, whatever doubt their targets hold
        images_K = training_NK.argmax(1).bincount(minlength=training_NK.shape[1]).clamp(min=1)
        weights_K = inverse_frequency_weights(images_K.to(judged_MK.dtype))
        return weights_K[judged_MK.argmax(1)][:, None].expand_as(judged_MK)
    return None


def image_losses(
    logits_NK: torch.Tensor, targets_NK: torch.Tensor, weights_NK: torch.Tensor | None
) -> torch.Tensor:
    """Return the soft-target cross-entropy of each image (N,).

    Their mean is that over targets that weigh so much.
    """
    if weights_NK is None:
        return functional.cross_entropy(logits_NK, targets_NK, reduction="none")
    shares_NK = targets_NK * weights_NK
    losses_N = -(shares_NK * functional.log_softmax(logits_NK, 1)).sum(1)
    return losses_N * (len(shares_NK) / shares_NK.sum())


def target_counts(targets_NK: torch.Tensor) -> torch.Tensor:
    """Count the images of each class (K,) by their shares, never quite none."""
    return targets_NK.sum(0).clamp(min=_FEWEST)


def _class_weights(parameters: LossParameters, counts_K: torch.Tensor) -> torch.Tensor:
    if parameters.class_weighting == "effective_number":
        return effective_number_weights(counts_K, parameters.effective_number_beta)
    return inverse_frequency_weights(counts_K)


def smooth_targets(targets_BK: torch.Tensor, smoothing: float, spread_K: torch.Tensor) -> torch.Tensor:
    """Spread a share of each target over all classes (Szegedy et al., CVPR 2016, section 7).

    Parameters
    ----------
    smoothing : float
        The share [0-1).
    spread_K : torch.Tensor
        What the classes get of it, in any unit, > 0 in sum.
    """
    return targets_BK * (1 - smoothing) + smoothing * spread_K / spread_K.sum()


def inverse_frequency_weights(counts_K: torch.Tensor) -> torch.Tensor:
    """Return class weights (K,) proportional to 1 / count whose mean over the training images is 1.

    The mean keeps the size of the loss, so the learning rate need not change.

    Examples
    --------
    >>> inverse_frequency_weights(torch.tensor([30.0, 10.0]))
    tensor([0.6667, 2.0000])
    """
    return _mean_one(1 / counts_K, counts_K)


def effective_number_weights(counts_K: torch.Tensor, beta: float) -> torch.Tensor:
    """Return class weights (K,) proportional to (1 - beta) / (1 - beta^count), with mean 1 over the training images.

    beta = 0 weighs all classes alike, beta towards 1 by inverse frequency.

    References
    ----------
    Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, equation 2.
    """
    return _mean_one((1 - beta) / (1 - beta ** counts_K.double()), counts_K.double()).to(counts_K.dtype)


def _mean_one(weights_K: torch.Tensor, counts_K: torch.Tensor) -> torch.Tensor:
    return weights_K * counts_K.sum() / (weights_K * counts_K).sum()


def focal_loss(logits_BK: torch.Tensor, targets_BK: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return the mean over images of -sum_k y_k (1 - p_k)^gamma log p_k.

    References
    ----------
    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4, with softmax and soft targets.
    """
    log_p_BK = functional.log_softmax(logits_BK, dim=1)
    wrong_BK = -torch.expm1(log_p_BK)  # 1 - p, without cancellation
    played_down_BK = wrong_BK.clamp(min=1e-12) ** gamma  # at 0, gamma < 1 has no finite slope
    return -(targets_BK * played_down_BK * log_p_BK).sum(1).mean()


def _shifted_cross_entropy(
    logits_BK: torch.Tensor, targets_BK: torch.Tensor, shift_K: torch.Tensor
) -> torch.Tensor:
    return functional.cross_entropy(logits_BK + shift_K, targets_BK)


def logit_shift(counts_K: torch.Tensor, tau: float) -> torch.Tensor:
    """Return tau * log(prior), which is added to the logits while training and left away when predicting.

    What is learned then are the logits of classes of equal size.

    References
    ----------
    Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021, equation 10.
    """
    return tau * torch.log(counts_K / counts_K.sum())


def balanced_order(labels_N: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw an epoch in which all classes are equally frequent.

    The epoch keeps its length N. A class is gone through completely before an image of it comes again, and the
    places that N leaves over after division by the number of classes go to classes drawn at random.

    Parameters
    ----------
    labels_N : torch.Tensor
        Class codes, int64, on the CPU.
    generator : torch.Generator
        Of the CPU.

    Returns
    -------
    torch.Tensor
        (N,) int64 positions of images.
    """
    classes = labels_N.unique()
    places, left_over = divmod(len(labels_N), len(classes))
    chosen = []
    for turn, k in enumerate(torch.randperm(len(classes), generator=generator).tolist()):
        rows = torch.nonzero(labels_N == classes[k]).flatten()
        wanted = places + (turn < left_over)
        rounds = -(-wanted // len(rows))
        shuffled = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(rounds)]
        chosen.append(torch.cat([rows[:0], *shuffled])[:wanted])
    order = torch.cat(chosen)
    return order[torch.randperm(len(order), generator=generator)]
