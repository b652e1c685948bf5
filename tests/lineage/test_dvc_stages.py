import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from visionpipe.errors import VisionpipeError
from visionpipe.lineage.dvc_stages import build_stage, stages_of_default
from visionpipe.lineage.kedro_project import ProjectConfiguration

BIN = Path(sys.executable).parent


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


TINY = {
    "pyproject.toml": """\
[tool.kedro]
package_name = "tinyplant"
project_name = "tinyplant"
kedro_init_version = "1.7.0"
source_dir = "src"
""",
    ".dvcignore": "__pycache__/\n",
    ".dvc/config": "[core]\n    analytics = false\n    no_scm = true\n",
    "conf/local/.gitkeep": "",
    "conf/base/catalog.yml": """\
photos: {type: tinyplant.datasets.photos.Folder, sources: {mine: {importer: folder, path: photos}}}
store: {type: tinyplant.datasets.photos.Text, filepath: data/store.txt, metadata: {visionpipe: {append_only: true}}}
known: {type: tinyplant.datasets.photos.Text, filepath: data/store.txt}
score: {type: tinyplant.datasets.photos.Text, filepath: data/score.json, metadata: {visionpipe: {metric: true}}}
"{name}_report": {type: tinyplant.datasets.photos.Text, filepath: "data/{name}.html"}
""",
    "conf/base/parameters_ingestion.yml": "ingestion: {upper: true}\n",
    "conf/base/parameters_training.yml": "training: {epochs: 3}\n",
    "photos/a.txt": "a",
    "photos/b.txt": "b",
    "src/tinyplant/__init__.py": "",
    "src/tinyplant/settings.py": 'CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}\n',
    "src/tinyplant/pipeline_registry.py": """\
from tinyplant.pipelines import ingestion, training
def register_pipelines():
    parts = {"ingestion": ingestion.create_pipeline(), "training": training.create_pipeline()}
    return {"__default__": sum(parts.values()), **parts}
""",
    "src/tinyplant/datasets/__init__.py": "",
    "src/tinyplant/datasets/photos.py": """\
from pathlib import Path
from kedro.io import AbstractDataset

class Folder(AbstractDataset):
    def __init__(self, *, sources, metadata=None):
        self._sources = sources
    def _load(self):
        return [path.read_text() for each in self._sources.values() for path in sorted(Path(each["path"]).iterdir())]
    def _save(self, data):
        raise NotImplementedError
    def _describe(self):
        return {}

class Text(AbstractDataset):
    def __init__(self, *, filepath, metadata=None):
        self._filepath = Path(filepath)
    def _load(self):
        return self._filepath.read_text() if self._filepath.exists() else ""
    def _save(self, data):
        self._filepath.parent.mkdir(exist_ok=True)
        self._filepath.write_text(data)
    def _describe(self):
        return {}
""",
    "src/tinyplant/images/__init__.py": "",
    "src/tinyplant/images/letters.py": "def join(letters):\n    return ''.join(letters)\n",
    "src/tinyplant/serving/__init__.py": "PORT = 80\n",
    "src/tinyplant/pipelines/__init__.py": "",
    "src/tinyplant/pipelines/ingestion/__init__.py": """\
from kedro.pipeline import Pipeline, node
def ingest(photos, known, parameters):
    from tinyplant.images.letters import join
    text = join(photos)
    return known if text.upper() in known.upper() else known + (text.upper() if parameters["upper"] else text)
def create_pipeline():
    return Pipeline([node(ingest, ["photos", "known", "params:ingestion"], "store", name="ingest")])
""",
    "src/tinyplant/pipelines/training/__init__.py": """\
from kedro.pipeline import Pipeline, node
def train(store, parameters):
    return '{"score": %d}' % (len(store) * parameters["epochs"]), f"<p>{store}</p>"
def create_pipeline():
    return Pipeline([node(train, ["store", "params:training"], ["score", "score_report"], name="train")])
""",
}


@pytest.fixture
def tiny(tmp_path):
    folder = tmp_path / "tiny plant"
    for name, text in TINY.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def call(project, function, **arguments):
    """Call a function of dvc_stages in a process of its own: Kedro holds one project a process."""
    code = (
        "import json, logging, pathlib; logging.disable(logging.CRITICAL);"
        "from visionpipe.lineage import dvc_stages;"
        f"print(json.dumps(dvc_stages.{function}(pathlib.Path({str(project)!r}), **{arguments!r})))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_the_stages_of_a_real_project(tiny):
    text = call(tiny, "generate")
    stages = yaml.safe_load(text)["stages"]
    assert text.startswith("# Generated by `visionpipe dvc-stages`")
    assert stages == {
        "ingestion": {
            "cmd": "kedro run --pipelines ingestion",
            "deps": [
                "photos",
                "src/tinyplant/datasets/photos.py",
                "src/tinyplant/images",
                "src/tinyplant/pipelines/ingestion",
            ],
            "params": [
                {"conf/base/catalog.yml": ["photos"]},
                {"conf/base/parameters_ingestion.yml": ["ingestion"]},
            ],
            "outs": [{"data/store.txt": {"persist": True}}],
        },
        "training": {
            "cmd": "kedro run --pipelines training",
            "deps": [
                "data/store.txt",
                "src/tinyplant/datasets/photos.py",
                "src/tinyplant/pipelines/training",
            ],
            "params": [{"conf/base/parameters_training.yml": ["training"]}],
            "outs": ["data/score.html"],
            "metrics": [{"data/score.json": {"cache": False}}],
        },
    }


def test_local_photos_are_watched_and_stay_out_of_the_base_version(tiny):
    (tiny / "conf/local/catalog.yml").write_text(
        "photos: {type: tinyplant.datasets.photos.Folder, sources: {mine: {importer: folder, path: /my/photos}}}\n"
    )
    local = yaml.safe_load(call(tiny, "generate"))["stages"]["ingestion"]
    base = yaml.safe_load(call(tiny, "generate", env="base"))["stages"]["ingestion"]
    assert "/my/photos" in local["deps"] and "photos" not in local["deps"]
    assert {"conf/local/catalog.yml": ["photos"]} in local["params"]
    assert "photos" in base["deps"] and "/my/photos" not in base["deps"]
    assert base["cmd"] == local["cmd"] == "kedro run --pipelines ingestion"


def test_check_says_what_differs(tiny):
    assert call(tiny, "check") == ["there is no dvc.yaml"]
    assert call(tiny, "write") is True
    assert call(tiny, "write") is False
    assert call(tiny, "check") == []
    stages = yaml.safe_load((tiny / "dvc.yaml").read_text())["stages"]
    stages["ingestion"]["deps"].remove("photos")
    stages["training"]["outs"].append("data/other")
    stages["old"] = {"cmd": "true"}
    (tiny / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    assert call(tiny, "check") == [
        "stage old is not a pipeline of the default run",
        "stage ingestion: deps lacks photos",
        "stage training: outs has data/other too much",
    ]


def test_kedro_run_and_dvc_repro_are_equals(tiny):
    from visionpipe.lineage.data_version import commit_stage

    call(tiny, "write")
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def run(*command):
        done = subprocess.run(command, cwd=tiny, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("kedro", "run")
    for stage in ("ingestion", "training"):
        commit_stage(tiny, stage)
    assert "up to date" in run("dvc", "status")

    (tiny / "src/tinyplant/serving/__init__.py").write_text("PORT = 8080\n")
    (tiny / "conf/base/parameters_training.yml").write_text("training: {epochs: 4}\n")
    output = run("dvc", "repro")
    assert "Stage 'ingestion' didn't change" in output
    assert (tiny / "data/score.json").read_text() == '{"score": 8}'

    (tiny / "photos/c.txt").write_text("c")
    run("dvc", "repro", "ingestion")
    assert (tiny / "data/store.txt").read_text() == "ABABC"  # appended to what DVC left in place
