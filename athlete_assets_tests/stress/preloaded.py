"""What the fork server imports once for all victims; nothing that starts a thread."""

import catboost  # noqa: F401
import deltalake  # noqa: F401
import mlflow  # noqa: F401
import pyspark.sql.connect.session  # noqa: F401

import athlete_assets.definitions
import athlete_assets.gold.scoring
import athlete_assets.models.training
import athlete_assets.silver.landing  # noqa: F401
import athlete_assets_tests.live  # noqa: F401
