"""What happens around a run: MLflow tracks it, DVC records its data, a table ends it."""

from __future__ import annotations

import atexit
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kedro.framework.hooks import hook_impl

from visionpipe.promotion.run_log import flat_parameters, log_curves, telling_mlflow

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)
_Kind = TypeVar("_Kind")
_ERROR_CHARACTERS = 500
_STAGES = ("ingestion", "validation", "fitting", "evaluation", "promotion")


class ParameterHook:
    """Refuses parameters that are wrong before anything is read or trained."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Compare what is given with what the pipelines read."""
        from kedro.framework.project import pipelines

        from visionpipe.configuration import check_parameters, registered_model

        check_parameters(context.config_loader["parameters"], pipelines)
        registered_model(context.config_loader["catalog"])


class LineageHook:
    """After a bare `kedro run`, makes dvc.lock and the DVC cache what `dvc repro` would have made them."""

    def __init__(self) -> None:
        self._project: Path | None = None
        self._context: KedroContext | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the project's folder and where its configuration is."""
        self._project, self._context = context.project_path, context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Tell what records where a model comes from how this run was started, and its parameters.

        A dvc.yaml that lacks a stage that this run is to be recorded as is refused now rather than after hours. As
        an input of a node, all parameters would make DVC train again for any of them; and the catalog has those
        that the pipelines at hand read in another form.
        """
        assert self._context is not None, "Kedro makes a context before it runs a pipeline"
        from visionpipe.datasets.origin import TrainingOrigin
        from visionpipe.lineage.dvc_recording import require_stages
        from visionpipe.lineage.run_options import local_settings, run_options

        if (whole := self._whole_stages(pipeline)) and self._is_recorded(run_params):
            require_stages(self._context.project_path, whole)

        for origin in _inputs(pipeline, catalog, TrainingOrigin):
            origin.run_options = run_options(run_params["env"], run_params["runtime_params"])
            origin.parameters = self._context.config_loader["parameters"]
            origin.local_settings = local_settings(self._context.config_loader.local("parameters"))

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Record every stage that ran whole."""
        if self._project is None or not (self._project / "dvc.yaml").exists():
            return
        whole = self._whole_stages(pipeline)
        if not self._is_recorded(run_params):
            if whole:
                logger.warning(
                    "dvc.lock is left as it was: DVC can't see --params, nor an --env or parameters in conf/local that "
                    "dvc.yaml was not generated for (`visionpipe dvc-stages` writes it anew)"
                )
            return
        from visionpipe.datasets.photos import PhotoSources, ShardedTable
        from visionpipe.lineage.dvc_recording import commit_stage

        tables = [table.path for table in _inputs(pipeline, catalog, ShardedTable)]
        reviews = [
            folder for sources in _inputs(pipeline, catalog, PhotoSources) for folder in sources.reviews
        ]
        for folder in (*tables, *reviews):  # read as empty; DVC cannot hash an absent folder
            folder.mkdir(parents=True, exist_ok=True)
        for stage in whole:
            commit_stage(self._project, stage)

    def _whole_stages(self, pipeline: Pipeline) -> list[str]:
        """Return the stages of dvc.yaml that a pipeline runs whole; none where there is no dvc.yaml."""
        from kedro.framework.project import pipelines

        assert self._project is not None, "Kedro makes a context before it runs a pipeline"
        if not (self._project / "dvc.yaml").exists():
            return []
        ran = {node.name for node in pipeline.nodes}
        return [stage for stage in _STAGES if {node.name for node in pipelines[stage].nodes} <= ran]

    def _is_recorded(self, run_params: dict[str, Any]) -> bool:
        """Return whether DVC, which can't see --params, would run this as it is run now."""
        assert self._project is not None, "Kedro makes a context before it runs a pipeline"
        env = run_params["env"]
        wanted = "" if env in (None, "local", "base") else f" --env {env}"
        text = (self._project / "dvc.yaml").read_text()
        local = {path.name for path in (self._project / "conf/local").glob("parameters*.yml")}
        sees = f"cmd: kedro run{wanted} --pipelines" in text and all(
            f"conf/local/{name}" in text for name in local
        )
        return sees and not run_params["runtime_params"]


def _inputs(pipeline: Pipeline, catalog: CatalogProtocol, kind: type[_Kind]) -> list[_Kind]:
    """Return the datasets of a kind that a pipeline reads from outside."""
    read = (catalog.get(name) for name in pipeline.inputs() if name in catalog)
    return [dataset for dataset in read if isinstance(dataset, kind)]


class TrackingHook:
    """One MLflow run a `kedro run`; an orchestrator that splits a run joins it through `MLFLOW_RUN_ID`."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._run_id: str | None = None
        self._joined: str | None = None
        self._metrics: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the configuration is."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Connect before anything is computed, so that a silent server costs seconds and changes nothing."""
        assert self._context is not None, "Kedro makes a context before it runs a pipeline"
        from visionpipe.errors import VisionpipeError, first_line
        from visionpipe.progress import doing
        from visionpipe.promotion.tracking import connect, tracking_parameters

        self._leave("KILLED")  # a run that was interrupted in this process
        with doing("connecting to MLflow"):
            connect(self._context.project_path, tracking_parameters(self._context.config_loader["mlflow"]))
        import mlflow
        from mlflow.exceptions import MlflowException

        atexit.unregister(self._leave)
        atexit.register(self._leave, "KILLED")  # before MLflow's own, which would say FINISHED
        self._metrics = {}
        self._joined = os.environ.get("MLFLOW_RUN_ID")
        name = None if self._joined else ", ".join(run_params["pipeline_names"] or ["__default__"])
        try:
            self._run_id = mlflow.start_run(run_name=name).info.run_id
            mlflow.log_params(flat_parameters(self._context.config_loader["parameters"]))
        except MlflowException as error:  # a run to join that is not there, or that has other parameters
            self._leave("FAILED")
            raise VisionpipeError(f"MLflow run: {first_line(error)}") from error

    def _leave(self, status: str) -> None:
        """End the run, if it is still under way; one that was joined goes on, and the next part may join it, too."""
        if self._run_id is None:
            return
        import mlflow

        ours, self._run_id = self._run_id, None
        active = mlflow.active_run()
        if active is None or active.info.run_id != ours:
            return
        with telling_mlflow("the run's end"):
            mlflow.end_run("RUNNING" if self._joined else status)
        if self._joined:
            os.environ["MLFLOW_RUN_ID"] = self._joined

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log the training's curves; keep the numbers of the evaluation until the end: one call logs them all."""
        if dataset_name == "training_log":
            with telling_mlflow("the training's curves"):
                log_curves(data["curves"])
        elif dataset_name == "evaluation":
            for name, interval in data["metrics"].items():
                for part in ("estimate", "low", "high"):
                    if interval.get(part) is not None:
                        self._metrics[f"test_{name}" + ("" if part == "estimate" else f"_{part}")] = interval[
                            part
                        ]

    @hook_impl
    def after_pipeline_run(self, catalog: CatalogProtocol, pipeline: Pipeline) -> None:
        """Log metrics and reports, and end the run."""
        import mlflow

        with telling_mlflow("the run's metrics and reports"):
            mlflow.log_metrics(self._metrics)
            for name in sorted(pipeline.all_outputs()):
                if (name.endswith("_report") or name.startswith("model_card")) and (
                    path := _path_of(catalog, name)
                ):
                    mlflow.log_artifact(str(path), "reports")
        self._leave("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Mark the run as failed."""
        import mlflow

        from visionpipe.errors import redacted

        if mlflow.active_run():
            with telling_mlflow("the error"):
                said = redacted(f"{type(error).__name__}: {error}")
                mlflow.set_tag("visionpipe.error", said[:_ERROR_CHARACTERS])
            self._leave("FAILED")


class SummaryHook:
    """Ends a run with a short table: what came out, how sure we are, where to look."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, catalog: CatalogProtocol, pipeline: Pipeline) -> None:
        """Print what this run made."""
        from visionpipe.reports.summary import print_summary

        made = {
            name: catalog.load(name)
            for name in ("validation_result", "evaluation", "decision", "scoring_summary", "drift_verdict")
            if name in pipeline.all_outputs()
        }
        reports = [
            path
            for name in sorted(pipeline.all_outputs())
            if (name.endswith("_report") or name in {"report_index", "data_docs", "model_card"})
            and (path := _path_of(catalog, name))
        ]
        print_summary(made, reports)


def _path_of(catalog: CatalogProtocol, name: str) -> Path | None:
    dataset = catalog.get(name)
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    if path is None:
        return None
    return path / "index.html" if path.is_dir() else path
