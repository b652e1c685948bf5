"""The registered model answers web requests as MLflow serves it, and says what is wrong with a bad one."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
import requests

from mlflow_store import clean_environment, free_port, new_store, running
from photo_sets import good_candidate, photo, photo_set, saved
from visionpipe.images.decode import decode_rgb
from visionpipe.models.candidate import Candidate, describe_model, load_candidate
from visionpipe.promotion.contest import contest
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.registry import Registry


@pytest.fixture(scope="module")
def champion(tmp_path_factory) -> tuple[Candidate, str]:
    """A promoted model, and the store that holds it."""
    photos = photo_set(train=8, test=20, seed=21)
    folder = saved(good_candidate(photos), tmp_path_factory.mktemp("models") / "candidate")
    with pytest.MonkeyPatch.context() as monkeypatch:
        clean_environment(monkeypatch)
        candidate = load_candidate(folder)
        store = new_store(folder.parent)
        registry, parameters = Registry("cells", folder), PromotionParameters(resamples=200)
        contest(
            registry,
            candidate,
            {"model": describe_model(candidate)},
            photos.manifest,
            photos.read,
            {},
            parameters,
        )
    return candidate, store


@pytest.fixture(scope="module")
def candidate(champion) -> Candidate:
    return champion[0]


@pytest.fixture(scope="module")
def url(champion, tmp_path_factory) -> Iterator[str]:
    """Where `mlflow models serve` answers for the champion."""
    folder, port = tmp_path_factory.mktemp("serving"), free_port()
    address = f"http://127.0.0.1:{port}"
    command = ["mlflow", "models", "serve", "--model-uri", "models:/cells@champion", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = {"MLFLOW_TRACKING_URI": champion[1], "OMP_NUM_THREADS": "1"}
    with running(command, f"{address}/ping", folder / "server.log", **store):
        yield f"{address}/invocations"


def ask(url: str, *images: object, column: str = "image") -> requests.Response:
    rows = [[base64.b64encode(image).decode() if isinstance(image, bytes) else image] for image in images]
    return requests.post(url, json={"dataframe_split": {"columns": [column], "data": rows}}, timeout=60)


def colour(name: str, seed: int, side_px: int = 50) -> bytes:
    return photo(name, np.random.default_rng(seed), side_px)


def test_a_photo_is_answered_with_label_confidence_and_probabilities(url, candidate):
    data = colour("red", 1)
    response = ask(url, data)
    assert response.status_code == 200, response.text
    (answer,) = response.json()["predictions"]
    expected = candidate.classifier.predict(decode_rgb(data, 64)[None])
    assert answer["predicted_label"] == "red"
    assert answer["confidence"] == pytest.approx(expected.confidence_N[0], rel=1e-4)
    assert answer["probabilities"] == pytest.approx(expected.probabilities_NK[0].tolist(), abs=1e-4)
    assert answer["deferred"] in {True, False}


def test_several_photos_of_any_size_are_answered_in_order(url):
    response = ask(url, colour("blue", 2), colour("red", 3, side_px=90), colour("blue", 4, side_px=33))
    answers = [answer["predicted_label"] for answer in response.json()["predictions"]]
    assert answers == ["blue", "red", "blue"]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([b"this is no image"], "row 0: undecodable: "),
        ([colour("red", 5), b""], "row 1: empty: "),
        ([colour("red", 6)[:200]], "row 0: undecodable: "),
        ([colour("red", 7, side_px=20)], "row 0: too_small: 20 px on the shorter side"),
        ([None], "not compatible with model signature"),
        (["not base64!"], "base64"),
    ],
)
def test_what_is_no_photo_is_refused_with_the_reason_and_the_server_stays_up(url, images, reason):
    response = ask(url, *images)
    assert 400 <= response.status_code < 600
    assert reason in response.text
    assert ask(url, colour("blue", 8)).json()["predictions"][0]["predicted_label"] == "blue"


def test_no_photos_get_no_answers(url):
    response = ask(url)
    assert (response.status_code, response.json()) == (200, {"predictions": []})


def test_another_column_is_refused_with_the_one_that_is_wanted(url):
    response = ask(url, colour("blue", 9), column="photo")
    assert response.status_code == 400
    assert "image" in response.json()["message"]
