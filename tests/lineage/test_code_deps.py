import pytest

from visionpipe.lineage.code_deps import code_dependencies

FILES = {
    "__init__.py": "import os",
    "errors.py": "class PlantError(Exception): ...",
    "cli.py": "import plant.images.store",
    "images/__init__.py": "",
    "images/store.py": "from plant.errors import PlantError",
    "images/later.py": "import numpy",
    "models/__init__.py": "from .heads import Head",
    "models/heads.py": "def head():\n    import torch\n    from ..metrics import accuracy",
    "metrics/__init__.py": "",
    "metrics/accuracy.py": "def accuracy(): ...",
    "serving/__init__.py": "",
    "serving/app.py": "import flask",
    "datasets/__init__.py": '"""Nothing but words."""',
    "datasets/photos.py": "from plant.images import store",
    "datasets/tables.py": "import pandas",
    "pipelines/__init__.py": "",
    "pipelines/annotations.py": "Table = dict",
    "pipelines/ingestion/__init__.py": "from .pipeline import create_pipeline",
    "pipelines/ingestion/pipeline.py": "from plant.pipelines.ingestion.nodes import ingest",
    "pipelines/ingestion/nodes.py": (
        "from typing import TYPE_CHECKING\n"
        "from plant.pipelines.annotations import Table\n"
        "if TYPE_CHECKING:\n    from plant.serving import app\n"
        "def ingest():\n    from plant.images.store import append\n"
    ),
    "pipelines/training/__init__.py": "",
    "pipelines/training/nodes.py": "def fit():\n    import plant.models.heads",
}


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "plant" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "plant"


def test_a_pipeline_depends_on_what_its_functions_import_and_no_more(package):
    assert code_dependencies(package, ["plant.pipelines.ingestion"]) == [
        "errors.py",
        "images",
        "pipelines/annotations.py",
        "pipelines/ingestion",
    ]


def test_a_dataset_adds_itself_and_its_imports(package):
    found = code_dependencies(package, ["plant.pipelines.training", "plant.datasets.photos"])
    assert found == [
        "datasets/photos.py",
        "errors.py",
        "images",
        "metrics",
        "models",
        "pipelines/training",
    ]


def test_what_an_init_imports_counts(package):
    assert code_dependencies(package, ["plant.models"]) == ["metrics", "models"]


def test_other_packages_are_ignored(package):
    assert code_dependencies(package, ["kedro_datasets.pandas", "", "plantation.x"]) == []


def test_a_circle_of_imports_ends(package):
    (package / "images/store.py").write_text("import plant.images.later")
    (package / "images/later.py").write_text("import plant.images.store")
    assert code_dependencies(package, ["plant.images.store"]) == ["images"]


def test_visionpipes_own_training_does_not_depend_on_serving_or_monitoring():
    from pathlib import Path

    import visionpipe

    package = Path(visionpipe.__file__).parent
    found = code_dependencies(package, ["visionpipe.lineage.trace"])
    assert "lineage" in found and "errors.py" in found
    assert not {"serving", "monitoring", "models"} & set(found)
