"""The MLflow registry as the assets use it: names, aliases, and which version serves."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from athlete_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

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

    @property
    def inputs(self) -> list[str]:
        """The names of the model's input columns."""
        return list(self.model.metadata.get_input_schema().input_names())


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps mlflow's advice about type hints, pickles and input examples out of the run's log; errors still show."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        finally:
            logger.setLevel(level)


def client(settings: Settings) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(settings.mlflow_tracking_uri, settings.mlflow_registry_uri)


def serving(model: str, settings: Settings, alias: str = CHAMPION) -> Serving | None:
    """The model behind the alias; None where nothing is registered under it."""
    import mlflow
    from mlflow.exceptions import MlflowException

    name = model_name(model, settings)
    try:
        version = client(settings).get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    mlflow.set_registry_uri(settings.mlflow_registry_uri)
    # by version, not by alias: the alias may move between this lookup and the download
    model_object = mlflow.pyfunc.load_model(f"models:/{name}/{version.version}")
    return Serving(name, str(version.version), str(version.run_id), model_object)
