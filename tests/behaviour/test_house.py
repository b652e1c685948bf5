"""The rules of the house: who may import whom, what starts fast, and what is never done."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from project_copy import ROOT

SRC = ROOT / "src/visionpipe"
FOUNDATION = {
    "atomic",
    "bounded_parquet",
    "counting",
    "errors",
    "installed_source",
    "mistakes",
    "progress",
    "scratch",
}  # top-level modules that everybody may use
ENTRANCE = {
    "cli",
    "configuration",
    "hooks",
    "pipeline_registry",
    "run_lock",
    "settings",
}  # and those that nobody may
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
    """They also run on a GPU machine that has, of our requirements, only those that `bench_gpu_training.py` names."""
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
    files = [*SRC.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    lines = {file.relative_to(ROOT).as_posix(): len(file.read_text().splitlines()) for file in files}
    assert {file: count for file, count in lines.items() if count > 300} == {}


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
