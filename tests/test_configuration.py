"""`--env` adds a layer; it does not take conf/local away."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.pipeline import node, pipeline
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_model_name
from scipy.stats import quantile_test

from project_copy import ROOT
from visionpipe.configuration import LayeredConfigLoader, check_parameters, registered_model
from visionpipe.errors import VisionpipeError
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.settings import CONFIG_LOADER_ARGS


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name, text in {
        "base/catalog.yml": "photos: {type: demo}\nmanifest: {type: table, filepath: m}\n",
        "base/parameters.yml": "training: {epochs: 8, device: auto}\n",
        "local/catalog.yml": "photos: {type: mine}\n",
        "local/parameters.yml": "training: {epochs: 20}\n",
        "gpu/parameters.yml": "training: {device: cuda}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def load(conf: Path, env: str | None, key: str) -> dict:
    options = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}
    return LayeredConfigLoader(str(conf), env=env, **options)[key]


def test_an_environment_keeps_the_photos_of_conf_local(conf):
    assert load(conf, "gpu", "catalog")["photos"] == {"type": "mine"}
    assert load(conf, "gpu", "catalog")["manifest"] == {"type": "table", "filepath": "m"}


def test_an_environment_changes_single_parameters_over_conf_local(conf):
    assert load(conf, "gpu", "parameters")["training"] == {"epochs": 20, "device": "cuda"}


def test_without_an_environment_nothing_is_different(conf):
    assert load(conf, None, "parameters")["training"] == {"epochs": 20, "device": "auto"}
    assert load(conf, "base", "catalog")["photos"] == {"type": "demo"}


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """Return the configuration of a fresh clone."""
    shutil.copytree(ROOT / "conf/base", tmp_path / "base")
    shutil.copytree(ROOT / "conf/ci", tmp_path / "ci")
    (tmp_path / "local").mkdir()
    return tmp_path


PHOTOS = "{type: visionpipe.datasets.photos.PhotoSources, sources: {mine: {importer: folder, path: /mine}}}"


def production(conf: Path, env: str | None) -> tuple[list[str], list[str]]:
    """Name the sources whose photos are scored, and those that simulated reviewers label."""
    arriving = load(conf, env, "catalog")["arriving_photos"]["sources"]
    return [*arriving], load(conf, env, "parameters")["feedback"]["simulated_sources"]


@pytest.mark.parametrize("env", [None, "base", "ci"])
def test_the_demo_has_its_arrivals_and_simulated_reviewers(shipped, env):
    assert production(shipped, env) == (["elpv_poly"], ["elpv_poly"])


@pytest.mark.parametrize("env", [None, "ci"])
def test_they_never_reach_photos_of_ones_own(shipped, env):
    (shipped / "local/catalog.yml").write_text(f"_mine: {PHOTOS}\nphotos: ${{_mine}}\n")
    (shipped / "local/parameters_feedback.yml").write_text("feedback: {simulated_share: 0.9}\n")
    assert production(shipped, env) == ([], [])


@pytest.mark.parametrize("env", [None, "ci"])
def test_what_is_named_beside_photos_of_ones_own_holds(shipped, env):
    (shipped / "local/catalog.yml").write_text(f"photos: {PHOTOS}\narriving_photos: {PHOTOS}\n")
    (shipped / "local/parameters_feedback.yml").write_text("feedback: {simulated_sources: [mine]}\n")
    assert production(shipped, env) == (["mine"], ["mine"])


def judge(promotion: PromotionParameters, evaluation: EvaluationParameters) -> str:
    return f"{promotion} {evaluation}"


PIPELINES = {
    "promotion": pipeline([node(judge, inputs=["params:promotion", "params:evaluation"], outputs="decision")])
}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"promtion": {}}, "no pipeline reads a section 'promtion'; did you mean 'promotion'?"),
        ({"promotion": {"metrc": "auroc"}}, "promotion.metrc: unknown key; did you mean 'metric'?"),
        (
            {"promotion": {"acceptance": ["acuracy >= 0.5"]}, "evaluation": {"level": 2}},
            "promotion.acceptance 'acuracy >= 0.5': no metric is called 'acuracy'; did you mean 'accuracy'?; "
            "evaluation.level: must be less than 1, not 2",
        ),
        ({"promotion": None}, "promotion: must be a section of keys and values, not null"),
    ],
)
def test_parameters_that_are_wrong_are_named_in_plain_words(given, said):
    with pytest.raises(VisionpipeError) as error:
        check_parameters(given, PIPELINES)
    assert str(error.value) == f"parameters: {said}"
    check_parameters({"promotion": {"metric": "auroc"}, "evaluation": {}}, PIPELINES)


def test_a_key_of_another_section_is_named_whole():
    with pytest.raises(VisionpipeError) as error:
        check_parameters({"evaluation": {"acceptance": []}, "timed_predictions": 80}, PIPELINES)
    assert str(error.value) == (
        "parameters: no pipeline reads a section 'timed_predictions'; "
        "did you mean 'evaluation.examination.timed_predictions'?; "
        "evaluation.acceptance: unknown key; did you mean 'promotion.acceptance'?"
    )


def timed(predictions: int, level: float = 0.95) -> dict:
    examination = {"timed_predictions": predictions}
    return {
        "promotion": {"acceptance": ["accuracy >= 0.5", "latency_ms_p95 <= 20"]},
        "evaluation": {"level": level, "examination": examination},
    }


def test_a_limit_on_speed_where_nothing_is_timed_is_refused_before_anything_runs():
    with pytest.raises(
        VisionpipeError, match=r"'latency_ms_p95 <= 20': nothing is timed .*; 72 or more are needed"
    ):
        check_parameters(timed(0), PIPELINES)
    slow = timed(0)
    slow["promotion"]["acceptance"].pop()
    check_parameters(slow, PIPELINES)


@pytest.mark.parametrize(("level", "needed"), [(0.95, 72), (0.9, 59), (0.99, 104)])
def test_as_many_must_be_timed_as_give_an_upper_bound(level, needed):
    """SciPy's exact interval of the 95th percentile is the judge: it has an upper end from so many on."""
    ends = [quantile_test(np.arange(n), p=0.95).confidence_interval(level).high for n in (needed - 1, needed)]
    assert [np.isfinite(end) for end in ends] == [False, True]
    check_parameters(timed(needed, level), PIPELINES)
    with pytest.raises(VisionpipeError, match="too few predictions are timed to prove it"):
        check_parameters(timed(needed - 1, level), PIPELINES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            b"training:\n  epochs: ${foo}",
            "parameters: Interpolation key 'foo' not found full_key: training.epochs",
        ),
        (b"# caf\xe9\ntraining: {epochs: 3}", "parameters: 'utf-8' codec can't decode byte 0xe9"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(text, said, conf):
    (conf / "local/parameters.yml").write_bytes(text)
    with pytest.raises(VisionpipeError, match=f"^configuration: {said}") as wrong:
        LayeredConfigLoader(str(conf), **CONFIG_LOADER_ARGS)["parameters"]
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "local/parameters.yml",
            "training: {epochs: [1, 2], costs: [1]}",
            "training.costs: is a list in CONF/local/parameters.yml, "
            "and a section of keys and values in CONF/base/parameters.yml",
        ),
        (
            "gpu/parameters_training.yml",
            "training: {views: {a: 1}}",
            "training.views: is a section of keys and values in CONF/gpu/parameters_training.yml, "
            "and a list in CONF/local/parameters.yml",
        ),
        (
            "local/parameters.yml",
            "[1, 2]",
            "CONF/local/parameters.yml: must be a section of keys and values, not a list",
        ),
    ],
)
def test_a_list_where_a_section_is_wanted_is_named_with_its_file(name, text, said, conf):
    (conf / "base/parameters.yml").write_text("training: {epochs: 8, costs: {}}")
    (conf / "local/parameters.yml").write_text("training: {views: [identity]}")
    (conf / name).write_text(text)
    with pytest.raises(VisionpipeError) as wrong:
        LayeredConfigLoader(str(conf), env="gpu", **CONFIG_LOADER_ARGS)["parameters"]
    assert str(wrong.value) == f"configuration: {said}".replace("CONF", str(conf))


def test_one_of_the_command_line_is_named_too(conf):
    given = {"training": {"epochs": 3, "costs": [1]}}
    (conf / "base/parameters.yml").write_text("training: {epochs: 8, costs: {}}")
    with pytest.raises(
        VisionpipeError, match=r"training\.costs: is a list in --params, and a section of keys"
    ):
        LayeredConfigLoader(str(conf), runtime_params=given, **CONFIG_LOADER_ARGS)["parameters"]


def test_one_that_only_a_reference_gives_is_refused_as_it_is(conf):
    (conf / "base/parameters.yml").write_text("_all: [identity]\ntraining: {views: '${_all}'}")
    (conf / "local/parameters.yml").write_text("training: {views: {a: 1}}")
    with pytest.raises(VisionpipeError, match=r"^configuration: parameters: Cannot merge"):
        LayeredConfigLoader(str(conf), **CONFIG_LOADER_ARGS)["parameters"]


@pytest.mark.parametrize("name", [5, None, "", "  ", "shop/shelf", "shop:1", "..", "...", "s" * 257])
def test_a_name_that_mlflow_would_refuse_after_the_training_is_refused_before(name):
    with pytest.raises(VisionpipeError, match=r"^model_name: "):
        registered_model({"model_registry": {"model_name": name}})


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=260))
def test_what_is_let_through_is_what_mlflow_takes(name):
    try:
        registered_model({"model_registry": {"model_name": name}})
    except VisionpipeError:
        return
    try:
        _validate_model_name(name)
    except MlflowException as error:
        raise AssertionError(name) from error


def test_a_section_that_is_no_word_is_named():
    with pytest.raises(
        VisionpipeError, match=r"no pipeline reads a section 1; .*no pipeline reads a section 'a'"
    ):
        check_parameters({1: 2, "a": 3}, {"__default__": pipeline([])})
