"""Which source files a pipeline's outputs depend on: its own, its datasets' and all that they import."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def code_dependencies(package: Path, roots: Iterable[str]) -> list[str]:
    """Return the parts of a package that the root modules import, directly or not.

    Imports are read from the syntax tree, those inside functions too; `if TYPE_CHECKING:` is left out. A module
    that is named only in a string is not seen. A library package is one dependency, so that dvc.yaml does not
    change with every new module; pipelines and datasets count each for itself, for they import everything
    between them.

    Parameters
    ----------
    package
        Folder of the package, such as `src/visionpipe`.
    roots
        Modules or packages, such as `visionpipe.pipelines.training`; those of other packages are ignored.

    Returns
    -------
    list of str
        Paths relative to `package`, sorted: `images`, `datasets/tables.py`, `pipelines/training`, `errors.py`.
    """
    waiting = [path for root in roots for path in _files_of(package, root)]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += [found for module in _imports(package, path) for found in _files_of(package, module)]
    parts = {path for path in seen - {package / "__init__.py"} if _has_code(path)}
    return sorted({_part(path.relative_to(package)) for path in parts})


def _has_code(path: Path) -> bool:
    """Tell whether a file holds more than a docstring."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def _part(path: Path) -> str:
    """Roll a file up to what is named in dvc.yaml."""
    if path.parts[0] == "datasets" or len(path.parts) == 1:
        return path.as_posix()
    if path.parts[0] == "pipelines":
        return Path(*path.parts[:2]).as_posix()
    return path.parts[0]


def _files_of(package: Path, module: str) -> Iterator[Path]:
    """Yield the files that importing a module runs; a pipeline package stands for all its files."""
    name, *inner = module.split(".")
    if name != package.name:
        return
    for depth in range(len(inner)):  # the __init__ of every package on the way
        yield from _existing(package.joinpath(*inner[:depth], "__init__.py"))
    target = package.joinpath(*inner)
    yield from _existing(target.with_suffix(".py"))
    yield from _existing(target / "__init__.py")
    if inner[:1] == ["pipelines"] and len(inner) == 2:
        yield from sorted(target.glob("*.py"))


def _existing(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path


def _imports(package: Path, path: Path) -> Iterator[str]:
    """Yield the absolute names that a file imports; `from a import b` gives `a` and, for a module, `a.b`."""
    here = [package.name, *path.relative_to(package).with_suffix("").parts[:-1]]
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
