"""The rules of the house: who may import whom, what starts fast, and what is never done."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from project_copy import ROOT, copy_project

SRC = ROOT / "src/visionpipe"
FOUNDATION = {"atomic", "errors", "progress"}  # top-level modules that everybody may use
ENTRANCE = {"cli", "configuration", "hooks", "pipeline_registry", "settings"}  # and those that nobody may
ROOMS = """
    pipelines datasets serving retraining lineage promotion monitoring models reports quality metrics images stats
    """.split()  # noqa: SIM905 - reads as the line of the design that it is
HEAVY = {"great_expectations", "evidently", "mlflow", "torch", "torchvision"}
ORCHESTRATION = {"kedro", "dvc", "mlflow", "great_expectations", "evidently"}
PLAIN_ROOMS = ("images", "models", "metrics", "stats")
PLAIN_MODULES = ("promotion/gate.py", "promotion/decision.py", "promotion/checks.py")
SCRIPTS = Path(sys.executable).parent
MODULES = sorted(path.relative_to(SRC).as_posix() for path in SRC.rglob("*.py"))


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse((SRC / module).read_text(encoding="utf-8"))


def module_file(dotted: str) -> str | None:
    """Return the file of a module of ours (`visionpipe.images.store` -> `images/store.py`); None for a name in one."""
    path = SRC.joinpath(*dotted.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.relative_to(SRC).as_posix()
    return None


def imports(module: str) -> Iterator[str]:
    """Name all that a module imports, wherever in it, dotted; `from package import name` gives `package.name` too."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """Return the files of ours that a module imports, in functions and under TYPE_CHECKING too."""
    dotted = (name for name in imports(module) if name.split(".")[0] == "visionpipe")
    files = {file for name in dotted if (file := module_file(name))}
    return files - {module, "__init__.py"}  # the package itself is imported before any of its modules


def room(module: str) -> str:
    return module.split("/")[0].removesuffix(".py")


def floor(module: str) -> int:
    """Return how high a module stands: the entrance above all rooms, the foundation below."""
    name = room(module)
    if name in ENTRANCE:
        return len(ROOMS) + 1
    if name in FOUNDATION or module == "__init__.py":
        return 0
    return len(ROOMS) - ROOMS.index(name)


def test_every_module_has_a_room():
    rooms = {room(module) for module in MODULES}
    assert rooms <= {*ROOMS, *FOUNDATION, *ENTRANCE, "__init__"}


def test_imports_run_down_the_list_only():
    upward = [
        f"{module} imports {imported}"
        for module in MODULES
        for imported in sorted(own_imports(module))
        if floor(imported) > floor(module) or (room(imported) in ENTRANCE and room(module) not in ENTRANCE)
    ]
    assert upward == []


def test_imports_have_no_circle():
    try:
        TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' <- '.join(error.args[1])}")


def test_the_plain_rooms_know_no_orchestration():
    """They also run on a GPU machine that has only torch, torchvision, timm, scikit-learn, pandas, pyarrow."""
    plain = [module for module in MODULES if room(module) in PLAIN_ROOMS or module in PLAIN_MODULES]
    assert set(PLAIN_MODULES) <= set(plain)
    reached, queue = set(plain), list(plain)
    while queue:
        for module in own_imports(queue.pop()) - reached:
            reached.add(module)
            queue.append(module)
    found = [
        f"{module} imports {name}"
        for module in sorted(reached)
        for name in imports(module)
        if name.split(".")[0] in ORCHESTRATION
    ]
    assert found == []


@pytest.mark.parametrize(
    "command",
    [["kedro", "registry", "list"], ["visionpipe", "--help"], ["visionpipe", "trace", "--help"]],
    ids=" ".join,
)
def test_starting_up_imports_nothing_heavy(command):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", SCRIPTS / command[0], *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert any(name.startswith("visionpipe.") for name in imported)
    assert {name for name in imported if name.split(".")[0] in HEAVY} == set()


def test_a_file_holds_one_idea_of_at_most_300_lines():
    long = {module: len((SRC / module).read_text().splitlines()) for module in MODULES}
    assert {module: lines for module, lines in long.items() if lines > 300} == {}


def test_no_module_is_a_dumping_ground():
    banned = {"utils", "helpers", "common", "misc", "base"}
    names = {part.removesuffix(".py").strip("_") for module in MODULES for part in module.split("/")}
    assert names & banned == set()


def test_nothing_is_unpickled():
    """Only `pickle.UnpicklingError` may be named: with it torch says that it refused a pickle."""
    banned = {"cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    found = []
    for module in MODULES:
        found += [f"{module} imports {name}" for name in imports(module) if name.split(".")[0] in banned]
        found += [f"{module} imports {name}" for name in imports(module) if name.startswith("pickle.")]
        for node in ast.walk(parsed(module)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
                found += [f"{module}:{node.lineno} uses pickle.{node.attr}"] * (
                    node.attr != "UnpicklingError"
                )
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                if called.endswith((".read_pickle", ".to_pickle")):
                    found.append(f"{module}:{node.lineno} calls {called}")
                if called == "torch.load" and options.get("weights_only") != "True":
                    found.append(f"{module}:{node.lineno} calls torch.load without weights_only=True")
                if options.get("allow_pickle", "False") != "False":
                    found.append(f"{module}:{node.lineno} allows pickles")
    assert found == []


def in_project(code: str, folder: Path) -> str:
    """Run Python in a process of its own: Kedro keeps the project it was started in for the whole process."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_dvc_yaml_is_what_the_pipelines_and_the_catalog_give():
    code = "from pathlib import Path; from visionpipe.lineage.dvc_stages import check; "
    assert in_project(code + "print(check(Path.cwd(), env='base'))", ROOT) == "[]"


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
