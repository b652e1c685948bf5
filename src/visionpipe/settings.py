"""Kedro's project settings."""

from visionpipe.configuration import LayeredConfigLoader
from visionpipe.hooks import LineageHook, ParameterHook, SummaryHook, TrackingHook
from visionpipe.run_lock import RunLockHook

HOOKS = (ParameterHook(), RunLockHook(), LineageHook(), TrackingHook(), SummaryHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro-viz")  # no telemetry; no statistics files of every run
CONFIG_LOADER_CLASS = LayeredConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
    "merge_strategy": {"parameters": "soft"},  # an environment changes single keys, not whole sections
}
