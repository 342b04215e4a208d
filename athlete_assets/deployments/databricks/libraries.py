"""What a step's Python and libraries must be: the orchestrator's versions, or what the cluster brings."""

from __future__ import annotations

from athlete_assets.settings import Settings

SUPPORTED_PYTHON = ("3.10", "3.13")
"""The first Python minor version that the code runs on, and the first that it does not."""
CLUSTER_LIBRARIES = (
    "dagster",
    "dagster-databricks",
    "dagster-mlflow",
    "dagster-pyspark",
    "dagster-slack",
    "databricks-sdk",
    "databricks-feature-engineering",
    "mlflow",
    "catboost",
    "deltalake",
    "tenacity",
)
"""What the code location imports on the cluster, in the versions that are installed here. Spark, pandas, NumPy, Arrow,
SciPy and scikit-learn are the runtime's own: another build beside the runtime's breaks Spark's Arrow functions."""
FEATURE_CLIENT = {"databricks-feature-engineering": "0.12.1"}
"""The oldest feature store client that the code runs with, where it is the cluster's own."""
WITH_FEATURE_CLIENT = (*FEATURE_CLIENT, "databricks-sdk", "dagster-databricks")
"""What goes by the client's version: newer ones need an SDK that dagster-databricks excludes. Only the orchestrator's
launcher needs dagster-databricks."""


def pinned_libraries(settings: Settings) -> tuple[str, ...]:
    """The libraries that a step has in the same version as this process."""
    left = WITH_FEATURE_CLIENT if settings.databricks_feature_client == "cluster" else ()
    return tuple(name for name in CLUSTER_LIBRARIES if name not in left)
