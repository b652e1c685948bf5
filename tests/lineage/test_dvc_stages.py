"""A stage of DVC is what a pipeline, the catalog and the parameters' files say."""

import pytest
import yaml

from visionpipe.errors import VisionpipeError
from visionpipe.lineage.dvc_stages import build_stage, stages_of_default
from visionpipe.lineage.kedro_project import ProjectConfiguration


def snapshot(name, *nodes):
    from kedro.inspection.models import NodeSnapshot, PipelineSnapshot

    return PipelineSnapshot(
        name=name,
        nodes=[
            NodeSnapshot(name=node, func_name=node, inputs=inputs, outputs=outputs)
            for node, inputs, outputs in nodes
        ],
    )


def configuration(tmp_path, catalog, **files):
    (tmp_path / "src/plant").mkdir(parents=True, exist_ok=True)
    defaults = {"env": None, "parameter_files": {"conf/base/parameters.yml": {"ingestion": {"a": {"b": 1}}}}}
    return ProjectConfiguration(
        project=tmp_path, package=tmp_path / "src/plant", catalog=catalog, **{**defaults, **files}
    )


INGEST = (
    "ingest",
    ["photos", "known", "params:ingestion"],
    ["store", "counts", "registry", "scratch", "memory"],
)
CATALOG = {
    "photos": {
        "type": "plant.PhotoSources",
        "sources": {
            "elpv": {"importer": "elpv"},
            "mine": {"importer": "folder", "path": "/photos/mine/"},
            "ours": {"importer": "folder", "path": "data/00/ours"},
            "back": {"importer": "reviewed", "path": "data/01_raw"},
        },
    },
    "known": {"type": "plant.Table", "path": "data/01_raw/images"},
    "store": {
        "type": "plant.Table",
        "path": "data/01_raw/images",
        "metadata": {"visionpipe": {"append_only": True}},
    },
    "counts": {
        "type": "plant.Json",
        "filepath": "data/08/counts.json",
        "metadata": {"visionpipe": {"metric": True}},
    },
    "registry": {"type": "plant.R", "filepath": "mlflow.db", "metadata": {"visionpipe": {"dvc": False}}},
    "scratch": {"type": "plant.S", "path": "data/05/x", "metadata": {"visionpipe": {"scratch": True}}},
}


def test_outputs_are_steered_by_the_catalogs_metadata(tmp_path):
    stage = build_stage(snapshot("ingestion", INGEST), configuration(tmp_path, CATALOG))
    assert stage["cmd"] == "kedro run --pipelines ingestion"
    assert stage["outs"] == [
        {"data/01_raw/images": {"persist": True}},
        {"data/05/x": {"cache": False, "persist": True}},
    ]
    assert stage["metrics"] == [{"data/08/counts.json": {"cache": False}}]


def test_folders_of_photos_are_dependencies_and_own_outputs_are_not(tmp_path):
    stage = build_stage(snapshot("ingestion", INGEST), configuration(tmp_path, CATALOG))
    assert stage["deps"] == ["/photos/mine", "data/00/ours", "data/01_raw/reviews"]


def test_the_choice_of_photos_is_a_parameter(tmp_path):
    files = {
        "conf/base/catalog.yml": {"photos": {"sources": {}}, "store": {}},
        "conf/local/catalog.yml": {"photos": {"sources": {}}},
    }
    stage = build_stage(snapshot("ingestion", INGEST), configuration(tmp_path, CATALOG, catalog_files=files))
    assert {"conf/base/catalog.yml": ["photos"]} in stage["params"]
    assert {"conf/local/catalog.yml": ["photos"]} in stage["params"]


def test_parameters_are_found_in_every_file_that_has_them(tmp_path):
    files = {
        "conf/base/parameters_a.yml": {"ingestion": {"a": {"b": 1}}},
        "conf/base/parameters_b.yml": {"training": {}},
        "conf/local/parameters.yml": {"ingestion": {"a": {}}},
    }
    nodes = ("n", ["params:ingestion.a.b", "params:ingestion.a"], [])
    stage = build_stage(snapshot("x", nodes), configuration(tmp_path, {}, parameter_files=files))
    assert stage["params"] == [
        {"conf/base/parameters_a.yml": ["ingestion.a", "ingestion.a.b"]},
        {"conf/local/parameters.yml": ["ingestion.a"]},
    ]


def test_all_parameters_are_whole_files(tmp_path):
    nodes = ("n", ["params:ingestion", "parameters"], [])
    stage = build_stage(snapshot("x", nodes), configuration(tmp_path, {}))
    assert stage["params"] == [{"conf/base/parameters.yml": None}]


def test_a_parameter_without_a_file_is_named(tmp_path):
    with pytest.raises(
        VisionpipeError, match="params:nope is an input of a node, but no parameters file has"
    ):
        build_stage(snapshot("x", ("n", ["params:nope"], [])), configuration(tmp_path, {}))


def test_a_date_that_dvc_cannot_hash_is_named(tmp_path):
    files = {"conf/base/parameters.yml": yaml.safe_load("ingestion: {since: 2026-01-05}")}
    with pytest.raises(
        VisionpipeError, match=r"parameters\.yml: ingestion holds .* put quotes around a date"
    ):
        build_stage(
            snapshot("x", ("n", ["params:ingestion"], [])),
            configuration(tmp_path, {}, parameter_files=files),
        )


@pytest.mark.parametrize("path", ["s3://bucket/x.parquet", "/elsewhere/x.parquet", "../x.parquet"])
def test_an_output_outside_the_project_is_refused(tmp_path, path):
    catalog = {"out": {"type": "plant.T", "filepath": path}}
    with pytest.raises(VisionpipeError, match=r"out is written to .* outside the project"):
        build_stage(snapshot("x", ("n", [], ["out"])), configuration(tmp_path, catalog))


def test_an_absolute_path_inside_the_project_becomes_relative(tmp_path):
    catalog = {"out": {"type": "plant.T", "filepath": f"{tmp_path}/data/x.parquet"}}
    stage = build_stage(snapshot("x", ("n", [], ["out"])), configuration(tmp_path, catalog))
    assert stage["outs"] == ["data/x.parquet"]


def test_another_environment_is_named_in_the_command(tmp_path):
    stage = build_stage(snapshot("x", ("n", [], [])), configuration(tmp_path, {}, env="gpu"))
    assert stage["cmd"] == "kedro run --env gpu --pipelines x"


def test_stages_are_the_smallest_pipelines_of_the_default_run():
    a, b, c, d = (("a", [], []), ("b", [], []), ("c", [], []), ("d", [], []))
    pipelines = [
        snapshot("retraining", d, a, b, c),
        snapshot("__default__", a, b, c),
        snapshot("data", a, b),
        snapshot("training", c),
        snapshot("validation", b),
        snapshot("ingestion", a),
        snapshot("drift", d),
    ]
    assert [each.name for each in stages_of_default(pipelines)] == ["ingestion", "validation", "training"]


def test_a_node_that_no_pipeline_has_for_itself_is_named():
    pipelines = [snapshot("__default__", ("a", [], []), ("b", [], [])), snapshot("x", ("a", [], []))]
    with pytest.raises(VisionpipeError, match="b belong to no registered pipeline"):
        stages_of_default(pipelines)
