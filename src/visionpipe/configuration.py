"""Configuration in layers: conf/base, then conf/local, then the environment asked for."""

from __future__ import annotations

from pathlib import Path

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import DictConfig, OmegaConf


class LayeredConfigLoader(OmegaConfigLoader):
    """Keeps conf/local under `--env NAME`.

    Kedro's own loader puts the environment in the place of conf/local, so `kedro run --env gpu` would forget whose
    photos it was told to use and train on the demo's.
    """

    def _read_raw_config(
        self, key: str
    ) -> tuple[dict[Path, DictConfig], dict[Path, DictConfig], str, str, set[Path]]:
        base, environment, base_path, environment_path, processed = super()._read_raw_config(key)
        if (self.env or self.default_run_env) in (self.base_env, self.default_run_env):
            return base, environment, base_path, environment_path, processed
        local_path = self._get_conf_env_path(self.default_run_env)
        try:
            local = self._read_dir_configs(
                local_path, [*self.config_patterns[key]], key, processed, key == "credentials"
            )
        except MissingConfigException:  # no conf/local at all
            local = {}
        if local:
            layers = [OmegaConf.merge(*files.values()) for files in (local, environment) if files]
            if self.merge_strategy.get(key) == "soft":
                merged = OmegaConf.merge(*layers)
            else:
                merged = OmegaConf.create({name: layer._get_node(name) for layer in layers for name in layer})
            environment = {Path(environment_path) / "with-local.yml": merged}
        return base, environment, base_path, environment_path, processed
