"""What Kedro ran is recorded as DVC would record it, and a model's origin knows how the run was started."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import yaml
from kedro.framework.project import configure_project, pipelines

from visionpipe.datasets.origin import TrainingOrigin
from visionpipe.datasets.photos import PhotoSources, ShardedTable
from visionpipe.errors import VisionpipeError
from visionpipe.hooks import LineageHook

PARAMETERS = {"training": {"epochs": 3}}


class Loader(dict):
    """Configuration of a project whose conf/local says something, too."""

    def local(self, key: str) -> dict:
        assert key == "parameters"
        return {"training": {"views": ["identity"]}, "promotion": {"mode": "propose"}}


@pytest.mark.parametrize(
    ("params", "options"), [({}, ""), ({"training": {"epochs": 3}}, "--params training.epochs=3")]
)
def test_what_records_where_a_model_comes_from_is_told_how_the_run_was_started(params, options, tmp_path):
    path = {"path": str(tmp_path)}
    origin = TrainingOrigin(project=path, outs={}, admitted=path)
    pipeline = SimpleNamespace(inputs=lambda: {"training_origin", "params:training"}, nodes=[])
    hook = LineageHook()
    loader = Loader({"parameters": PARAMETERS})
    hook.after_context_created(SimpleNamespace(project_path=tmp_path, config_loader=loader))
    run = {"env": None, "runtime_params": params}
    hook.before_pipeline_run(run, pipeline, {"training_origin": origin})
    assert (origin.run_options, origin.parameters) == (options, PARAMETERS)
    assert json.loads(origin.local_settings) == {"training": {"views": ["identity"]}}


def test_a_dvc_yaml_of_an_earlier_version_is_refused_before_anything_runs(tmp_path):
    configure_project("visionpipe")
    stages = {name: {"cmd": f"kedro run --pipelines {name}"} for name in ("validation", "training")}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    hook = LineageHook()
    hook.after_context_created(SimpleNamespace(project_path=tmp_path, config_loader={"parameters": {}}))
    run = {"env": None, "runtime_params": {}}
    with pytest.raises(VisionpipeError, match=r"stage fitting is not in .*run `visionpipe dvc-stages`"):
        hook.before_pipeline_run(run, pipelines["fitting"], {})
    hook.before_pipeline_run(run, pipelines["validation"], {})
    hook.before_pipeline_run(run | {"runtime_params": {"a": 1}}, pipelines["fitting"], {})  # not recorded


def test_settings_in_conf_local_that_dvc_does_not_watch_are_not_passed_off_as_dvcs(tmp_path, caplog):
    configure_project("visionpipe")
    (tmp_path / "dvc.yaml").write_text("cmd: kedro run --pipelines ingestion")
    (tmp_path / "conf/local").mkdir(parents=True)
    (tmp_path / "conf/local/parameters.yml").write_text("training: {epochs: 3}")
    hook = LineageHook()
    hook.after_context_created(SimpleNamespace(project_path=tmp_path))
    hook.after_pipeline_run({"env": None, "runtime_params": {}}, pipelines["fitting"], {})
    assert "dvc.lock is left as it was" in caplog.text
    assert "visionpipe dvc-stages" in caplog.text


def test_a_table_that_nobody_has_written_to_has_a_folder_for_dvc_to_hash(tmp_path):
    configure_project("visionpipe")
    (tmp_path / "dvc.yaml").write_text("cmd: kedro run --pipelines ingestion")
    hook = LineageHook()
    hook.after_context_created(SimpleNamespace(project_path=tmp_path))
    catalog = {
        "labels": ShardedTable(path=str(tmp_path / "labels"), table="labels"),
        "reviewed": PhotoSources(sources={"production": {"importer": "reviewed", "path": str(tmp_path)}}),
    }
    pipeline = SimpleNamespace(inputs=lambda: set(catalog), nodes=[])
    hook.after_pipeline_run({"env": None, "runtime_params": {}}, pipeline, catalog)
    assert (tmp_path / "labels").is_dir()
    assert (tmp_path / "reviews").is_dir()


@pytest.mark.parametrize(
    ("name", "told"),
    [("training", True), ("__default__", True), ("scoring", False), ("drift", False), ("label_audit", False)],
)
def test_only_a_run_that_dvc_could_have_recorded_is_told_that_it_was_not(name, told, tmp_path, caplog):
    configure_project("visionpipe")
    (tmp_path / "dvc.yaml").write_text("cmd: kedro run --pipelines ingestion")
    hook = LineageHook()
    hook.after_context_created(SimpleNamespace(project_path=tmp_path))
    hook.after_pipeline_run({"env": "gpu", "runtime_params": {}}, pipelines[name], {})
    assert ("dvc.lock is left as it was" in caplog.text) == told
