"""The files beside the code keep its rules: parameters, dvc.yaml, and the lock of requirements."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from project_copy import ROOT, copy_project
from visionpipe.mistakes import keys_of, mistakes


def in_project(code: str, folder: Path) -> str:
    """Run Python in a process of its own: Kedro keeps the project it was started in for the whole process."""
    environment = os.environ | {
        "PYTHONPATH": str(folder / "src")
    }  # Kedro leaves that of another test's project there
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_dvc_yaml_is_what_the_pipelines_and_the_catalog_give():
    code = "from pathlib import Path; from visionpipe.lineage.dvc_stages import check; "
    assert in_project(code + "print(check(Path.cwd(), env='base'))", ROOT) == "[]"


def test_a_training_by_hand_ends_with_its_report_without_a_test_image_and_dvc_trains_for_no_template():
    from visionpipe.pipeline_registry import register_pipelines

    pipelines = register_pipelines()
    assert {"training_report", "training_summary", "training_index"} <= pipelines["training"].outputs()
    assert not {"test_predictions", "evaluation"} & pipelines["training"].datasets()
    assert pipelines["fitting"].nodes == (pipelines["training"] - pipelines["evaluation"]).nodes
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert "training" not in stages
    assert "src/visionpipe/reports" in stages["evaluation"]["deps"]
    assert not {"src/visionpipe/reports", "src/visionpipe/monitoring"} & set(stages["fitting"]["deps"])


@cache
def parameter_models() -> dict[str, type[BaseModel]]:
    """Return the typed parameters that the pipelines' nodes ask for: section -> model."""
    from visionpipe.pipeline_registry import register_pipelines

    models: dict[str, type[BaseModel]] = {}
    for pipeline in register_pipelines().values():
        for node in pipeline.nodes:
            hints = typing.get_type_hints(node.func)
            arguments = list(inspect.signature(node.func).parameters)
            inputs = node._inputs
            names = [inputs] if isinstance(inputs, str) else list(inputs or [])
            for argument, name in zip(arguments, names, strict=True):
                if name.startswith("params:"):
                    assert issubclass(hints[argument], BaseModel), f"{node.name}: {name} is not typed"
                    models[name.removeprefix("params:")] = hints[argument]
    return models


def resolved_parameters(env: str) -> dict:
    from kedro.config import OmegaConfigLoader

    from visionpipe.settings import CONFIG_LOADER_ARGS

    arguments = {**CONFIG_LOADER_ARGS, "default_run_env": env}
    return OmegaConfigLoader(str(ROOT / "conf"), env=env, **arguments)["parameters"]


def test_no_number_of_the_configuration_may_be_true():
    numbers = 0
    for section, model in parameter_models().items():
        for key in keys_of(model, section):
            *path, last = key.split(".")[1:]
            nested: Any = model
            for part in path:
                nested = nested.model_fields[part].annotation
            kind = nested.model_fields[last].annotation
            if {int, float}.isdisjoint([kind, *typing.get_args(kind)]):
                continue
            given: Any = True
            for part in reversed([*path, last]):
                given = {part: given}
            [said] = mistakes(model, given, called=section)
            assert re.fullmatch(rf"{key}: must be a (whole )?number.*, not true", said)
            numbers += 1
    assert numbers > 70


@pytest.mark.parametrize("env", ["base", "ci", "gpu"])
def test_every_section_of_the_configuration_fits_its_model(env):
    sections, models = resolved_parameters(env), parameter_models()
    assert set(sections) == set(models)
    for name, model in models.items():
        model(**sections[name])


def missing_keys(section: dict, model: type[BaseModel], prefix: str) -> list[str]:
    missing = [f"{prefix}{key}" for key in model.model_fields if key not in section]
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and key in section:
            missing += missing_keys(section[key], field.annotation, f"{prefix}{key}.")
    return missing


def test_every_setting_stands_in_conf_base():
    sections = resolved_parameters("base")
    assert [
        key
        for name, model in parameter_models().items()
        for key in missing_keys(sections[name], model, f"{name}.")
    ] == []


def keys_without_comment(file: Path) -> list[str]:
    """Name the keys of a YAML file, less the headers of sections, whose line has no comment."""
    lines = file.read_text(encoding="utf-8").splitlines()

    def walk(node: yaml.Node, prefix: str) -> Iterator[str]:
        for key, value in node.value:
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                yield from walk(value, f"{prefix}{key.value}.")
            elif not re.search(r"\s# \S", lines[key.start_mark.line]):
                yield f"{file.name}: {prefix}{key.value}"

    return list(walk(yaml.compose("\n".join(lines)), ""))


def test_every_key_of_conf_base_has_a_comment():
    files = sorted((ROOT / "conf/base").glob("parameters_*.yml"))
    assert len(files) >= 7
    files += [ROOT / "conf/base/mlflow.yml", ROOT / "conf/base/globals.yml"]
    assert [key for file in files for key in keys_without_comment(file)] == []


def test_the_lock_names_no_index_and_every_requirement_has_a_hash():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(
        r"https?://|--(extra-)?index-url|--find-links|--trusted-host|^-[if] ", text, re.MULTILINE
    )
    logical = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    requirements = [line for line in logical if line.strip()]
    assert len(requirements) > 100
    for line in requirements:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), line


def test_every_requirement_of_the_project_is_in_the_lock():
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    text = (ROOT / "requirements.lock").read_text()
    locked = {
        canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", text, re.MULTILINE)
    }
    assert {canonicalize_name(Requirement(each).name) for each in wanted} <= locked


def test_an_unknown_parameter_gives_one_line_and_exit_code_1(tmp_path):
    project = copy_project(tmp_path / "project", git=False)
    done = project.run("kedro", "run", "--pipelines", "ingestion", "--params", "ingestion.min_side=3")
    assert done.returncode == 1
    errors = done.stderr[done.stderr.index("Error: ") :].strip()
    assert re.fullmatch(r"Error: parameters: ingestion\.min_side: unknown key.*", errors)
    assert "Traceback" not in done.stdout + done.stderr
    assert not os.path.lexists(project.path / "data/02_intermediate")
