"""Photos, a good and a poor model of them, and a store in which they compete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_store import clean_environment, new_store
from photo_sets import CONTEST, PhotoSet, good_candidate, one_sided, photo_set, saved


@pytest.fixture(scope="session")
def photos() -> PhotoSet:
    """Forty test photos and a few to learn from."""
    return photo_set(**CONTEST)


@pytest.fixture(scope="session")
def models(photos, tmp_path_factory) -> dict[str, Path]:
    """Two candidates' folders: `good` is nearly always right, `poor` calls everything blue."""
    folder = tmp_path_factory.mktemp("models")
    good = good_candidate(photos)
    return {"good": saved(good, folder / "good"), "poor": saved(one_sided(good), folder / "poor")}


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Run torch on one thread: these models are so small that threads wait for each other more than they work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def plant(tmp_path, monkeypatch) -> Path:
    """A project with its own, empty MLflow store, connected."""
    clean_environment(monkeypatch)
    project = tmp_path / "plant"
    new_store(project)
    return project


@pytest.fixture
def evaluation() -> dict:
    """What is kept with a version."""
    return {"n": 40, "metrics": {"accuracy": {"estimate": 0.95}}}


@pytest.fixture
def promote(photos, models, plant, evaluation) -> Callable:
    """`promote("good", mode="promote", ...)`: let a model challenge the champion of `plant`."""
    from visionpipe.models.candidate import describe_model, load_candidate
    from visionpipe.promotion.contest import contest
    from visionpipe.promotion.parameters import PromotionParameters
    from visionpipe.promotion.registry import Registry

    def challenge(name, manifest=photos.manifest, tags=(), papers=None, model_name="cells", **parameters):
        settings = PromotionParameters(**{"resamples": 200} | parameters)
        registry = Registry(model_name, models[name])
        candidate = load_candidate(models[name])
        about = {**evaluation, "model": describe_model(candidate)}
        return contest(registry, candidate, about, manifest, photos.read, dict(tags), settings, papers=papers)

    return challenge


@pytest.fixture
def versions() -> Callable[[], dict[str, list[str]]]:
    """`versions()`: everything that is registered, version -> aliases."""
    from mlflow import MlflowClient

    def registered():
        found = MlflowClient().search_model_versions("name='cells'")
        aliases = MlflowClient().get_registered_model("cells").aliases if found else {}
        return {
            str(version.version): sorted(
                name for name, of in aliases.items() if str(of) == str(version.version)
            )
            for version in found
        }

    return registered


@pytest.fixture
def is_good(photos) -> Callable:
    """`is_good(champion)`: say whether it is the model that tells red from blue."""

    def tells_apart(champion):
        labels = champion.candidate.classifier.predict(photos.prepared(64).pixels_NHWC).labels
        return set(labels) == {"blue", "red"}

    return tells_apart
