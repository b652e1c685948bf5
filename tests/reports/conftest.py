"""Realistic inputs of the report pages, for any number of classes, and a parser that sees what a browser sees."""

import io
import math
from html.parser import HTMLParser

import pytest
from PIL import Image


def interval(estimate, half=0.03):
    return {
        "estimate": estimate,
        "low": max(0.0, estimate - half),
        "high": min(1.0, estimate + half),
        "level": 0.95,
    }


def thumbnail(shade=90, kind="JPEG"):
    buffer = io.BytesIO()
    Image.new("L", (32, 32), shade).save(buffer, kind)
    return buffer.getvalue()


def an_evaluation(n_classes=2, names=None):
    classes = names or [f"class {i}" for i in range(n_classes)]
    k = len(classes)
    confusion = [[40 + i if i == j else (i + 2 * j) % 3 for j in range(k)] for i in range(k)]
    counts = {name: sum(row) for name, row in zip(classes, confusion, strict=True)}
    n_right, n = sum(confusion[i][i] for i in range(k)), sum(counts.values())
    bins = [
        {
            "lower": i / 10, "upper": (i + 1) / 10, "count": 8 * i, "confidence": (i + 0.5) / 10,
            "accuracy": i / 10, "low": max(0, i / 10 - 0.1), "high": min(1, i / 10 + 0.1),
        }
        for i in range(10)
    ]  # fmt: skip
    bins[0] |= {"confidence": None, "accuracy": None, "low": None, "high": None}
    return {
        "title": "Solar cells",
        "model": {"backbone": "tf_efficientnet_lite0", "image_size_px": 224, "temperature": 1.28374},
        "data": {split: dict(counts) for split in ("train", "validation", "test")},
        "classes": classes,
        "metrics": {
            "accuracy": interval(n_right / n),
            "auroc": interval(0.941),
            "ece": interval(0.031, 0.01),
            "aurc": {"estimate": None, "reason": "fewer than 20 mistakes"},
        },
        "per_class": {
            name: {
                "recall": interval(0.9), "precision": interval(0.8), "n": counts[name],
                "verdict": "no shortfall found",
            }
            for name in classes
        },
        "confusion": confusion,
        "reliability": bins,
        "slices": {
            "module": {
                "A": {"n": 40, "accuracy": interval(0.93), "verdict": "no shortfall found"},
                "B": {"n": 21, "accuracy": interval(0.71), "verdict": "lower than the rest"},
                "C": {"n": 2, "accuracy": {"estimate": None, "reason": "2 images"}},
            }
        },
        "worst_slice": {
            "name": "module is B", "n": 21, "accuracy": interval(0.71), "verdict": "lower than the rest",
        },
        "slice_pairs": [
            {"name": "module is B", "metric": f"recall[{classes[0]}]", "n": 11, "verdict": "lower than the rest",
             **interval(0.41)},
            {"name": "module is A and site is Linz", "metric": "accuracy", "n": 9,
             "verdict": "too few images to judge", **interval(0.87, 0.2)},
        ],
        "selective": {
            "aurc": interval(0.022, 0.01),
            "curve": [[i / 20, 0.1 * (i / 20) ** 2] for i in range(1, 21)],
            "deferral": {"threshold": 0.83, "n": 71, "coverage": interval(0.712), "accuracy": interval(0.953)},
        },
        "notes": ["16 near-duplicates were kept out of the test split."],
        "demo_notice": "Demo data, not for commercial use.",
    }  # fmt: skip


def some_curves():
    """Eight epochs of three phases; the sixth is the best and the last two overfit."""
    epochs = list(range(1, 9))
    return {
        "epoch": epochs,
        "phase": ["head"] * 2 + ["last_stages"] * 4 + ["whole_network"] * 2,
        "train_loss": [math.exp(-e / 3) for e in epochs],
        "validation_loss": [None, 0.61, 0.52, 0.44, 0.42, 0.41, 0.46, 0.53],
        "validation_accuracy": [1 - math.exp(-e) for e in epochs],
        "validation_auc": [float("nan"), *(1 - math.exp(-2 * e) for e in epochs[1:])],
        "learning_rate": [0.01, 0.005, 3e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5],
        "images_per_s": [9000.0, 9100.0, 310.0, 305.0, 300.0, 307.0, 52.0, 51.0],
        "seconds": [0.2, 0.2, 6.3, 6.4, 6.5, 6.3, 38.0, 38.6],
        "overfit": [False] * 6 + [True] * 2,
    }


def a_training():
    return {
        "curves": some_curves(),
        "model": {"backbone": "efficientnet-lite0", "trained_stages": "all", "epochs": 8},
        "moved": [
            {"part": "stages 0-3", "n_parameters": 1_000_000, "moved": False},
            {"part": "stages 4-9", "n_parameters": 2_750_000, "moved": True},
            {"part": "head", "n_parameters": 2_562, "moved": True},
        ],
        "recipe": [
            {"name": "training.epochs", "value": 12, "why": "1,968 images are few"},
            {"name": "training.ema_decay", "value": 0.99, "why": "492 steps"},
        ],
        "demo_notice": "Demo data, not for commercial use.",
    }


def some_mistakes(n=3, true="defective", predicted="functional", source_path="/data/a.png"):
    return [
        {
            "image_id": f"{i:064x}", "true": true, "predicted": predicted, "confidence": 0.5 + i / (2 * n + 1),
            "thumbnail": thumbnail(i % 255), "source_path": source_path,
        }
        for i in range(n)
    ]  # fmt: skip


def a_decision():
    def check(name, kind, value, half, limit, passed, detail=""):
        low, high = (None, None) if value is None else (value - half, value + half)
        return {
            "name": name, "kind": kind, "value": value, "low": low, "high": high, "limit": limit,
            "p_value": None if value is None else 0.0004, "passed": passed, "detail": detail,
        }  # fmt: skip

    return {
        "outcome": "promote",
        "reason": "The challenger is right 3.4 points more often on the same images.",
        "metric": "accuracy",
        "champion_version": "6",
        "challenger_version": "7",
        "n_test_images": 512,
        "images_needed": None,
        "checks": [
            check("recall[defective] >= 0.80", "acceptance", 0.86, 0.04, 0.8, True),
            check("accuracy", "gain", 0.034, 0.02, 0.0, True, "paired cluster bootstrap"),
            check("McNemar", "gain", None, None, 0.05, True),
            check("accuracy[module=3]", "non_inferiority", 0.01, 0.03, -0.05, True),
            check("accuracy[module=12]", "non_inferiority", -0.02, 0.05, -0.05, False, "30 images"),
            check("latency_ms_p95 <= 120", "acceptance", None, None, 120, None, "not measured"),
        ],
        "provenance": {"git_commit": "0f3a", "image_store_md5": "a3f5.dir"},
    }


def a_drift_verdict():
    def test(feature, kind, effect, drifted):
        p = 1e-9 if drifted else 0.4
        return {
            "feature": feature, "test": kind, "statistic": effect, "p_value": p, "p_adjusted": 2 * p,
            "drifted": drifted, "effect": effect, "min_effect": 0.1, "shift": f"{feature} is higher",
        }  # fmt: skip

    edges = [float(i) for i in range(11)]
    return {
        "drifted": True,
        "reason": "Brightness is higher.",
        "n_reference": 400,
        "n_current": 1550,
        "window": {"from": "2024-04-01T00:00:10+00:00", "to": "2024-06-30T23:10:00+00:00"},
        "model_version": "6",
        "tests": [test("sharpness", "KS", 0.05, False), test("brightness", "KS", 0.41, True)],
        "untested": {"confidence": "3 values now, 30 needed"},
        "refused_rows": {"unknown_class": 3000, "image_id is missing": 1},
        "refused_files": {"Parquet file cannot be read": 1},
        "histograms": {
            "sharpness": {"bins": edges, "reference": [0.1] * 10, "current": [0.1] * 10},
            "brightness": {"bins": edges, "reference": [0.1] * 10, "current": [0.05] * 5 + [0.15] * 5},
            "predicted_label": {"bins": ["a", "b"], "reference": [0.3, 0.7], "current": [0.6, 0.4]},
        },
        "evidently_report": "drift/evidently report.html",
        "sample_reference": [{"thumbnail": thumbnail(), "caption": "mono"}],
        "sample_current": [{"thumbnail": thumbnail(kind="PNG"), "caption": "poly"}],
    }


def some_links():
    return [
        {"title": "Evaluation", "path": "evaluation.html", "summary": "Accuracy 0.91", "status": None},
        {"title": "Decision", "path": "promotion/decision.html", "summary": "", "status": "promote"},
    ]


def a_headline():
    return {"title": "Version 7 is champion", "status": "promote", "accuracy": interval(0.912), "images": 394}


class ParsedPage(HTMLParser):
    """Elements in document order as (tag, attributes), and all text outside the style sheet."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.style, self._inside = [], [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self._inside[-1:] == ["style"]:
            self.style += data
        else:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).replace("\u00a0", " ").split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def parse():
    return ParsedPage


@pytest.fixture(scope="session")
def all_pages():
    """Every page, drawn from realistic inputs, by name."""
    from card_facts import card_decision, card_facts
    from visionpipe.reports import pages
    from visionpipe.reports.evaluation_page import evaluation_page
    from visionpipe.reports.model_card import model_card
    from visionpipe.reports.training_page import training_page

    return {
        "model card": model_card(card_facts(), card_decision()).html,
        "evaluation of 2 classes": evaluation_page(an_evaluation(2), some_mistakes()),
        "evaluation of 30 classes": evaluation_page(an_evaluation(30), some_mistakes()),
        "decision": pages.decision_page(a_decision()),
        "drift": pages.drift_page(a_drift_verdict()),
        "index": pages.index_page(some_links(), a_headline()),
        "training": training_page(a_training()),
    }


@pytest.fixture
def make_evaluation():
    return an_evaluation


@pytest.fixture
def make_mistakes():
    return some_mistakes


@pytest.fixture
def decision():
    return a_decision()


@pytest.fixture
def drift_verdict():
    return a_drift_verdict()


@pytest.fixture
def curves():
    return some_curves()


@pytest.fixture
def training():
    return a_training()


@pytest.fixture
def links():
    return some_links()


@pytest.fixture
def headline():
    return a_headline()
