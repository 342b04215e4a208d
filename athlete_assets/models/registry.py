"""The MLflow registry as the assets use it: names, aliases, and which version serves."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from athlete_assets.settings import Settings
from athlete_assets.store.feature_store import raw_model_folder

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

LOOKUP_KEYS = ("athlete_id", "lookup_timestamp", "as_of_date")
"""Whom and when the feature store looks up; the signature names them beside the model's own inputs."""
Reasons = Callable[["pd.DataFrame"], "pd.Series | None"]
CHAMPION, CHALLENGER = "champion", "challenger"


def model_name(model: str, settings: Settings) -> str:
    """The registered name, three levels as Unity Catalog wants it: <catalog>.models.<model>."""
    return f"{settings.catalog}.models.{model}"


@dataclass(frozen=True)
class Serving:
    """The version that an alias points to, loaded."""

    name: str
    version: str
    run_id: str
    model: Any
    """The model itself, without the feature store's look-ups."""
    inputs: list[str]
    """The names of the model's input columns: what the feature store looks up for it."""

    @property
    def uri(self) -> str:
        """By version: the alias may move while it is scored."""
        return f"models:/{self.name}/{self.version}"

    @property
    def say(self) -> Reasons | None:
        """What says why it predicts what it does: the lines of one text for each row of its inputs, or None. No version
        from before such reasons has it: those gave theirs with every prediction."""
        return getattr(self.model.unwrap_python_model(), "reasons", None)


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps mlflow's advice, and what it prints of each step of its own, out of the run's log; errors are raised."""
    from mlflow.utils import logging_utils

    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    stream, told = logging_utils.MLFLOW_LOGGING_STREAM, logging_utils.MLFLOW_LOGGING_STREAM.enabled
    stream.enabled = False
    # recorded, not filtered: mlflow puts a filter of its own before all others
    with warnings.catch_warnings(record=True):
        try:
            yield
        finally:
            stream.enabled = told
            logger.setLevel(level)


def rehearse() -> None:
    """Saves a model and forgets it: the first one of a process has MLflow read the file lists of all packages that are
    installed (0.4 s), for which it has no setting."""
    from mlflow.pyfunc import save_model

    with quietly(), TemporaryDirectory() as folder:
        save_model(str(Path(folder, "model")), python_model=as_pyfunc(None, _nothing), pip_requirements=["catboost"])


def _nothing(_: Any, inputs: pd.DataFrame) -> pd.DataFrame:
    return inputs


def client(settings: Settings) -> MlflowClient:
    from mlflow import MlflowClient

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each file of a few kB
    return MlflowClient(settings.mlflow_tracking_uri, settings.mlflow_registry_uri)


def serving(model: str, settings: Settings, alias: str = CHAMPION) -> Serving | None:
    """The model behind the alias; None where nothing is registered under it."""
    from mlflow.exceptions import MlflowException

    name = model_name(model, settings)
    try:
        version = client(settings).get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return loaded(name, version, settings)


def of_version(model: str, version: str, settings: Settings) -> Serving | None:
    """A version of a model; None where the registry does not hold it (any more)."""
    from mlflow.exceptions import MlflowException

    if settings.deployment != "databricks" and not (settings.home / "mlflow.db").exists():
        return None
    name = model_name(model, settings)
    try:
        return loaded(name, client(settings).get_model_version(name, version), settings)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def loaded(name: str, version: ModelVersion, settings: Settings) -> Serving:
    """A registered version."""
    import mlflow

    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    mlflow.set_registry_uri(settings.mlflow_registry_uri)
    uri = f"models:/{name}/{version.version}"
    signature = mlflow.models.get_model_info(uri).signature
    with quietly():
        model_object = mlflow.pyfunc.load_model(str(raw_model_folder(uri)))
    inputs = [name for name in signature.inputs.input_names() if name not in LOOKUP_KEYS]
    return Serving(name, str(version.version), str(version.run_id), model_object, inputs)


def as_pyfunc(
    fitted: Any,
    predict: Callable[[Any, pd.DataFrame], pd.DataFrame],
    reasons: Callable[[Any, pd.DataFrame], pd.Series] | None = None,
) -> Any:
    """What was fitted as an MLflow PythonModel: a frame with the features gives one with the outputs. Its `reasons`
    say why, for the rows that are shown to somebody; None where the model does not say."""
    import mlflow

    with quietly():  # mlflow advises on the type hints of each such class

        class Fitted(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
            def predict(
                self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
            ) -> pd.DataFrame:
                return predict(fitted, model_input)

            def reasons(self, model_input: pd.DataFrame) -> pd.Series | None:
                return reasons(fitted, model_input) if reasons else None

    return Fitted()


def version_of_run(name: str, run_id: str, settings: Settings) -> str:
    """The newest version of a registered model that an MLflow run logged."""
    versions = client(settings).search_model_versions(f"name = '{name}'")
    return str(max(int(version.version) for version in versions if version.run_id == run_id))
