"""Photos changed by as little as fools the model: FGSM and PGD under a largest change of any pixel value (L-infinity).

Both know the model (white box) and lower the margin, the logit of the true class less the largest other (Carlini and
Wagner, Towards Evaluating the Robustness of Neural Networks, 2017): the cross-entropy of a very sure model has no
gradient in float32, and its attack would find nothing. What counts is the label that the
decision rule gives, so an image that is wrong without any change counts as fooled.

Legend: N images, B batch, C = 3 channels, H = W side, E sizes of change. Images are float, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional

from visionpipe.models.classifier import ImageClassifier, inference_batch_size


def fgsm(
    classifier: ImageClassifier, pixels_NHWC: np.ndarray, labels_N: np.ndarray, epsilons: Sequence[float]
) -> np.ndarray:
    """Say which images survive one step of size epsilon along the sign of the gradient.

    Parameters
    ----------
    classifier : ImageClassifier
        Left as it is, in evaluation mode.
    pixels_NHWC : numpy.ndarray
        (N, side, side, 3) uint8.
    labels_N : numpy.ndarray
        True class codes, int.
    epsilons : sequence of float
        E sizes of change [of 255].

    Returns
    -------
    numpy.ndarray
        survives_EN, bool: the label given is still the true one.

    References
    ----------
    Goodfellow, Shlens and Szegedy, Explaining and Harnessing Adversarial Examples, ICLR 2015, section 4.
    """
    survives_EN = np.zeros((len(epsilons), len(labels_N)), dtype=bool)
    for rows_B, images_BCHW, labels_B in _batches(classifier, pixels_NHWC, labels_N):
        right_B, step_BCHW = _attack_direction(classifier, images_BCHW, labels_B)
        for e, epsilon in enumerate(epsilons):
            attacked_BCHW = (images_BCHW + epsilon / 255 * step_BCHW).clamp(0, 1)
            survives_EN[e, rows_B] = right_B & _is_right(classifier, attacked_BCHW, labels_B)
    return survives_EN


def pgd(
    classifier: ImageClassifier,
    pixels_NHWC: np.ndarray,
    labels_N: np.ndarray,
    epsilons: Sequence[float],
    *,
    steps: int,
    seed: int,
) -> np.ndarray:
    """Say which images survive projected gradient descent from a random start.

    Each step goes 2.5 epsilon / steps along the sign of the gradient and back into the box of half-width epsilon.
    A change that fools the model is within every larger box too, so only the survivors of a size meet the next.

    Parameters
    ----------
    classifier, pixels_NHWC, labels_N
        As in `fgsm`.
    epsilons : sequence of float
        E sizes of change, ascending [of 255].
    steps : int
        At most; an image that is fooled takes no more.
    seed : int
        Of the random starts.

    Returns
    -------
    numpy.ndarray
        survives_EN, bool.

    References
    ----------
    Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, section 2.1.
    """
    survives_EN = np.zeros((len(epsilons), len(labels_N)), dtype=bool)
    generator = torch.Generator().manual_seed(seed)
    for rows_B, images_BCHW, labels_B in _batches(classifier, pixels_NHWC, labels_N):
        standing_B = _is_right(classifier, images_BCHW, labels_B)
        for e, epsilon in enumerate(epsilons):
            left_M = np.flatnonzero(standing_B)
            if left_M.size:
                start = torch.rand(images_BCHW[left_M].shape, generator=generator).to(images_BCHW) * 2 - 1
                standing_B[left_M] = _descend(
                    classifier, images_BCHW[left_M], labels_B[left_M], start, epsilon / 255, steps
                )
            survives_EN[e, rows_B] = standing_B
    return survives_EN


def _descend(
    classifier: ImageClassifier,
    images_BCHW: torch.Tensor,
    labels_B: torch.Tensor,
    start_BCHW: torch.Tensor,
    epsilon: float,
    steps: int,
) -> np.ndarray:
    """Return survives_B of one size of change (here a share of 1)."""
    standing_B = np.ones(len(images_BCHW), dtype=bool)
    attacked_BCHW = (images_BCHW + epsilon * start_BCHW).clamp(0, 1)
    for _ in range(steps):
        left_M = np.flatnonzero(standing_B)
        right_M, step_MCHW = _attack_direction(classifier, attacked_BCHW[left_M], labels_B[left_M])
        standing_B[left_M] = right_M
        moved = attacked_BCHW[left_M] + 2.5 * epsilon / steps * step_MCHW
        change = (moved - images_BCHW[left_M]).clamp(-epsilon, epsilon)
        attacked_BCHW[left_M] = (images_BCHW[left_M] + change).clamp(0, 1)
        if not right_M.any():
            return standing_B
    left_M = np.flatnonzero(standing_B)
    standing_B[left_M] = _is_right(classifier, attacked_BCHW[left_M], labels_B[left_M])
    return standing_B


def _batches(
    classifier: ImageClassifier, pixels_NHWC: np.ndarray, labels_N: np.ndarray
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Yield rows_B, images_BCHW and labels_B on the model's device."""
    classifier.eval()
    device = classifier.mean.device
    size = inference_batch_size(device) // 2  # gradients keep the activations
    for start in range(0, len(labels_N), size):
        pixels_BHWC = torch.from_numpy(np.array(pixels_NHWC[start : start + size])).to(device)
        images_BCHW = pixels_BHWC.permute(0, 3, 1, 2).float() / 255
        labels_B = torch.from_numpy(np.array(labels_N[start : start + size], dtype=np.int64)).to(device)
        yield slice(start, start + len(labels_B)), images_BCHW, labels_B


def _logits(classifier: ImageClassifier, images_BCHW: torch.Tensor) -> torch.Tensor:
    normalised = (images_BCHW - classifier.mean) / classifier.std
    return classifier.logits(classifier.features(normalised.contiguous(memory_format=torch.channels_last)))


def _right(classifier: ImageClassifier, logits_BK: torch.Tensor, labels_B: torch.Tensor) -> np.ndarray:
    logits = logits_BK.detach().float().cpu().numpy()
    given = classifier.spec.read(logits, np.empty((len(logits), 0), np.float32)).labels
    return np.array([classifier.spec.classes[code] for code in labels_B.tolist()]) == np.array(given)


@torch.inference_mode()
def _is_right(classifier: ImageClassifier, images_BCHW: torch.Tensor, labels_B: torch.Tensor) -> np.ndarray:
    return _right(classifier, _logits(classifier, images_BCHW), labels_B)


def _attack_direction(
    classifier: ImageClassifier, images_BCHW: torch.Tensor, labels_B: torch.Tensor
) -> tuple[np.ndarray, torch.Tensor]:
    """Return whether each image is named rightly, and the direction (by sign) in which its margin falls."""
    with torch.enable_grad():
        images = images_BCHW.detach().requires_grad_(True)
        logits_BK = _logits(classifier, images)
        true_BK = functional.one_hot(labels_B, logits_BK.shape[1]).bool()
        largest_other_B = logits_BK.masked_fill(true_BK, -torch.inf).amax(dim=1)
        margin = (logits_BK[true_BK] - largest_other_B).sum()
        (gradient_BCHW,) = torch.autograd.grad(-margin, images)
    return _right(classifier, logits_BK, labels_B), gradient_BCHW.sign()
