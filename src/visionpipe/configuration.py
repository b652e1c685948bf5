"""Configuration in layers: conf/base, then conf/local, then the environment asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from pydantic import BaseModel


_GO_WITH_PHOTOS: dict[str, tuple[str, str, Any]] = {
    "catalog": ("arriving_photos", "sources", {}),
    "parameters": ("feedback", "simulated_sources", []),
}
"""What conf/base says for its own `photos` alone: kind of file -> entry, key, and what stands for nothing."""

_LONGEST_NAME = 256  # characters that MLflow's tables keep


class LayeredConfigLoader(OmegaConfigLoader):
    """Keeps conf/local under `--env NAME`, and the demo's production away from other photos.

    Kedro's own loader puts the environment in the place of conf/local, so `kedro run --env gpu` would forget whose
    photos it was told to use and train on the demo's. And where another layer names its `photos`, the arrivals of
    conf/base would still be scored, and the labels of their simulated reviewers would become training data.
    """

    def __getitem__(self, key: str) -> Any:
        """Return what the files of a kind say, merged.

        Raises
        ------
        VisionpipeError
            When a file is no UTF-8 text or no section, refers to what is not there, or makes a list of a section.
        """
        try:
            return super().__getitem__(key)
        except (OmegaConfBaseException, UnicodeDecodeError) as error:
            from visionpipe.errors import VisionpipeError

            clash = self._clash(key) if isinstance(error, ConfigTypeError) else None
            said = clash or f"{key}: {' '.join(str(error).split())}"
            raise VisionpipeError(f"configuration: {said}") from error

    def _read_raw_config(
        self, key: str
    ) -> tuple[dict[Path, DictConfig], dict[Path, DictConfig], str, str, set[Path]]:
        base, environment, base_path, environment_path, processed = super()._read_raw_config(key)
        if local := self._local(key, processed):
            layers = [OmegaConf.merge(*files.values()) for files in (local, environment) if files]
            if self.merge_strategy.get(key) == "soft":
                merged = OmegaConf.merge(*layers)
            else:
                merged = OmegaConf.create({name: layer._get_node(name) for layer in layers for name in layer})
            environment = {Path(environment_path) / "with-local.yml": merged}
        return base, environment, base_path, environment_path, processed

    def _local(self, key: str, processed: set[Path]) -> dict[Path, DictConfig]:
        """Read conf/local where Kedro does not: under another environment."""
        if (self.env or self.default_run_env) in (self.base_env, self.default_run_env):
            return {}
        return self._own(key, processed)

    def local(self, key: str) -> dict[str, Any]:
        """Return what conf/local says by itself, under whichever environment; references stay as they are written."""
        files = self._own(key, set())
        return (
            cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.merge(*files.values()))) if files else {}
        )

    def _own(self, key: str, processed: set[Path]) -> dict[Path, DictConfig]:
        local_path = self._get_conf_env_path(self.default_run_env)
        try:
            return self._read_dir_configs(
                local_path, [*self.config_patterns[key]], key, processed, key == "credentials"
            )
        except MissingConfigException:  # no conf/local at all
            return {}

    def _check_duplicates(self, key: str, config_per_file: dict[Path, Any]) -> None:
        for path, content in config_per_file.items():
            if not isinstance(content, DictConfig):
                from visionpipe.errors import VisionpipeError

                raise VisionpipeError(
                    f"configuration: {path}: must be a section of keys and values, not a list"
                )
        super()._check_duplicates(key, config_per_file)

    def _clash(self, key: str) -> str | None:
        """Name the key that is a list in one place and a section in another, which OmegaConf leaves to a guess."""
        base, environment, _, _, processed = super()._read_raw_config(key)
        files = {**base, **self._local(key, processed), **environment}
        places = {str(path): OmegaConf.to_container(content) for path, content in files.items()}
        places["--params"] = self.runtime_params
        for (one, first), (other, second) in combinations(places.items(), 2):
            for name, there in _lists_and_sections(first, second):
                kinds = ["a section of keys and values", "a list"]
                here, before = reversed(kinds) if isinstance(there, list) else kinds
                return f"{name}: is {here} in {other}, and {before} in {one}"
        return None

    def _merge_configs(
        self, config: dict[str, Any], env_config: dict[str, Any], key: str, env_path: str
    ) -> dict[str, Any]:
        entry, inner, nothing = _GO_WITH_PHOTOS.get(key, ("", "", None))
        if entry in config and self._has_other_photos():
            config = {**config, entry: {**config[entry], inner: nothing}}
        return super()._merge_configs(config, env_config, key, env_path)

    def _has_other_photos(self) -> bool:
        """Tell whether a layer over conf/base names photos that are not those of conf/base."""
        base, environment, *_ = self._read_raw_config("catalog")
        own, other = (  # compared as they are written: what they refer to may not be known yet
            [OmegaConf.to_container(file)["photos"] for file in files.values() if "photos" in file]
            for files in (base, environment)
        )
        return bool(other) and own != other


def _lists_and_sections(first: Any, second: Any, called: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is a list in one of two and a section in the other: its name, and what the second says."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in first.keys() & second.keys():
            yield from _lists_and_sections(first[name], second[name], f"{called}.{name}".lstrip("."))
    elif {type(first), type(second)} == {dict, list}:
        yield called, second


def registered_model(catalog: Mapping[str, Any]) -> str:
    """Return the name of the registered model, `model_name` of `globals.yml`.

    Raises
    ------
    VisionpipeError
        When MLflow would refuse it, which it says only after the training.
    """
    from visionpipe.errors import VisionpipeError

    name = catalog["model_registry"]["model_name"]
    if not isinstance(name, str):
        raise VisionpipeError(f"model_name: {name!r} is no text; in conf/*/globals.yml, put it in quotes")
    if not name.strip() or len(name) > _LONGEST_NAME or {*name} & {*"/:"} or name.startswith("."):
        raise VisionpipeError(
            f"model_name: {name!r} is no name for a registered model: 1 to {_LONGEST_NAME} characters, "
            "no slash, no colon, no dot at the start"
        )
    return name


def check_parameters(given: Mapping[str, Any], pipelines: Mapping[str, Pipeline]) -> None:
    """Refuse parameters that no pipeline reads, that make no sense, or that contradict each other.

    Kedro reads them again when it makes the catalog, but logs pydantic's own words, and does not know every section.

    Parameters
    ----------
    given : mapping
        All parameters, after environments and `--params` were merged.
    pipelines : mapping
        Name -> pipeline: what they read, and as what.

    Raises
    ------
    VisionpipeError
        Names each mistake: the key, what is wrong with it, and what would be right.
    """
    from kedro.validation import TypeExtractor

    from visionpipe.errors import VisionpipeError
    from visionpipe.mistakes import keys_of, meant_key, mistakes

    found = TypeExtractor(dict(pipelines)).extract_types_from_pipelines()
    models: dict[str, type[BaseModel]] = {
        name: model for name, model in found.items() if hasattr(model, "model_validate")
    }
    known_keys = [key for name, model in models.items() for key in keys_of(model, name)]
    inputs = {name for pipeline in pipelines.values() for name in pipeline.inputs()}
    sections = sorted({name[7:].split(".")[0] for name in inputs if name.startswith("params:")})
    wrong = [
        f"no pipeline reads a section {name!r}; {meant_key(str(name), sections, known_keys)}"
        for name in sorted(set(given) - {*sections}, key=str)
    ]
    for name, model in models.items():
        if name in given:
            wrong += mistakes(model, given[name], called=name, known_keys=known_keys)
    if wrong:
        raise VisionpipeError(f"parameters: {'; '.join(wrong)}")
    if {"promotion", "evaluation"} <= models.keys() & given.keys():
        promotion, evaluation = (
            cast("Any", models[name].model_validate(given[name])) for name in ("promotion", "evaluation")
        )
        promotion.require_timing(evaluation.examination.timed_predictions, evaluation.level)
