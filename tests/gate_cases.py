"""Test images with two models on them, and the gate asked about them."""

import json

import numpy as np

from visionpipe.promotion.decision import Decision
from visionpipe.promotion.gate import judge
from visionpipe.promotion.parameters import PromotionParameters


def labels_of(n, seed=0, share=0.3):
    """Draw labels of two classes, 1 with this share."""
    return (np.random.default_rng(seed).random(n) < share).astype(int)


def answers(labels_N, right_N, sure=0.8):
    """Probabilities of a model of two classes that is right where it is said to be."""
    predicted_N = np.where(right_N, labels_N, 1 - np.asarray(labels_N))
    return np.where(np.eye(2)[predicted_N] == 1, sure, 1 - sure)


def decide(labels_N, challenger_NK, champion_NK=None, *, parameters=None, **others):
    """Ask the gate, and look at what every verdict must be: a sentence, and JSON."""
    n = len(labels_N)
    arguments = {
        "labels_N": labels_N,
        "classes": ["functional", "defective"],
        "image_ids_N": np.array([f"image{i}" for i in range(n)]),
        "group_ids_N": np.array([f"group{i}" for i in range(n)]),
        "challenger_probabilities_NK": challenger_NK,
        "champion_probabilities_NK": champion_NK,
        "slices": {},
        "champion_seen_ids": set(),
        "challenger_seen_ids": set(),
        "champion_seen_groups": set(),
        "challenger_seen_groups": set(),
        "parameters": PromotionParameters(**({"resamples": 500} | (parameters or {}))),
        "champion_version": None if champion_NK is None else "3",
    }
    decision = judge(**(arguments | others))
    assert isinstance(decision, Decision)
    json.dumps(decision.as_dict(), allow_nan=False)
    assert decision.reason.endswith(".")
    assert "nan" not in decision.reason.lower()
    return decision


def check(decision, name):
    """Return the first check whose name begins like this."""
    return next(c for c in decision.checks if c.name.startswith(name))


def pair(labels_N, gain, seed, agreement=0.85):
    """A champion and a challenger that is right on ``gain`` more of the images."""
    random = np.random.default_rng(seed)
    champion_N = random.random(len(labels_N)) < agreement
    flips = random.random(len(labels_N))
    challenger_N = np.where(champion_N, flips > 0.03, flips < (0.03 * agreement + gain) / (1 - agreement))
    return answers(labels_N, challenger_N), answers(labels_N, champion_N)


def model_with(share, n):
    """Return labels, and a model that is right on this share of them."""
    labels_N = np.arange(n) % 2
    return labels_N, answers(labels_N, np.arange(n) >= round(n * (1 - share)))
