"""A Kedro project as its configuration describes it, before anything is loaded or run."""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from kedro.inspection.models import PipelineSnapshot


@dataclass(frozen=True)
class ProjectConfiguration:
    """What dvc.yaml is made from, read once.

    Attributes
    ----------
    project
        The project folder, absolute.
    package
        Folder of the Python package.
    env
        Kedro environment that a stage's command names; None for the usual one.
    catalog
        Dataset name -> resolved catalog entry.
    parameter_files, catalog_files
        Path relative to the project -> what the file holds; later files override earlier ones.
    """

    project: Path
    package: Path
    env: str | None
    catalog: dict[str, dict[str, Any]]
    parameter_files: dict[str, dict[str, Any]] = field(default_factory=dict)
    catalog_files: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_project(project: Path, env: str | None) -> tuple[list[PipelineSnapshot], ProjectConfiguration]:
    """Ask Kedro for the pipelines, the catalog and the files that they come from."""
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project
    from kedro.inspection import get_project_snapshot
    from kedro.io import CatalogConfigResolver

    metadata = bootstrap_project(project)
    pipelines = get_project_snapshot(metadata=metadata, env=env).pipelines
    source = project / settings.CONF_SOURCE
    arguments = {"base_env": "base", "default_run_env": "local", **settings.CONFIG_LOADER_ARGS}
    loader = settings.CONFIG_LOADER_CLASS(conf_source=str(source), env=env, **arguments)
    entries = loader["catalog"]
    patterns = {name: entry for name, entry in entries.items() if CatalogConfigResolver.is_pattern(name)}
    resolver = CatalogConfigResolver(patterns, default_runtime_patterns={})
    names = {name for each in pipelines for node in each.nodes for name in (*node.inputs, *node.outputs)}
    catalog = {
        name: entries[name] if name in entries else resolver.resolve_pattern(name)
        for name in sorted(names)
        if name in entries or resolver.match_dataset_pattern(name)
    }
    folders = [
        source / each for each in dict.fromkeys([arguments["base_env"], env or arguments["default_run_env"]])
    ]
    usual = {None, arguments["base_env"], arguments["default_run_env"]}
    return pipelines, ProjectConfiguration(
        project=project,
        package=Path(metadata.source_dir) / metadata.package_name,
        env=None if env in usual else env,
        catalog=catalog,
        parameter_files=_yaml_files(project, folders, loader.config_patterns["parameters"]),
        catalog_files=_yaml_files(project, folders, loader.config_patterns["catalog"]),
    )


def _yaml_files(project: Path, folders: list[Path], patterns: list[str]) -> dict[str, dict[str, Any]]:
    """Read the files that Kedro's patterns match, folder by folder."""
    found = {}
    for folder in folders:
        # Path.glob gives no files for Kedro's `parameters*/**` before Python 3.13
        names = {
            name
            for pattern in patterns
            for name in glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
        }
        for name in sorted(name for name in names if name.endswith((".yml", ".yaml"))):
            content = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
            if isinstance(content, dict):
                found[(folder / name).relative_to(project).as_posix()] = content
    return found
