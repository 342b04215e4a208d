"""A runner's training log as Dagster assets: features, honest predictions and warnings."""

import os

# Our matrices have a hundred columns. OpenBLAS shares even those out among its threads, which then wait for each other
# wherever something else keeps a core busy (Sail, another worker): 44 ms for a product that takes one thread 0.2 ms.
# It must stand in the environment before NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# MLflow tells its makers which of its functions are used, unless told not to. Nothing about a training log is sent.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
