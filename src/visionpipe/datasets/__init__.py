"""Kedro datasets: the only place where pipelines meet files, DVC or the registry."""
