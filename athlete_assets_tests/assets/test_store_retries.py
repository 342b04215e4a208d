"""A step is retried where its store failed, and nowhere else."""

from collections.abc import Iterator

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets import builder
from athlete_assets.assets.builder import PIPES, STEP_LAUNCHER, STORE, asset_key, table_spec
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.errors import ContractError, DamageError, LastingStoreError, StoreError
from athlete_assets.settings import Settings


def attempts(error: type[Exception], failures: int) -> tuple[bool, int]:
    """Success and number of attempts of a step that fails the given number of times before it writes."""
    made, settings = [], Settings(store_retry_s=0.01)

    @builder.table_asset(settings, [table_spec(tables.METRICS_SUMMARY, settings)])
    def summary(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        made.append(context)
        if len(made) <= failures:
            raise error("gold.athlete_metrics_summary: could not commit")
        yield dg.MaterializeResult(asset_key=asset_key(tables.METRICS_SUMMARY))

    resources = dict.fromkeys((STORE, STEP_LAUNCHER, PIPES), dg.ResourceDefinition.none_resource())
    result = dg.materialize(
        [summary], resources=resources, instance=dg.DagsterInstance.ephemeral(), raise_on_error=False
    )
    return result.success, len(made)


def test_a_store_that_fails_twice_is_asked_a_third_time() -> None:
    assert attempts(StoreError, 2) == (True, 3)


def test_a_store_that_keeps_failing_is_asked_four_times() -> None:
    assert attempts(StoreError, 9) == (False, 4)


def test_what_stays_broken_until_somebody_acts_is_not_tried_again() -> None:
    assert attempts(LastingStoreError, 1) == (False, 1)
    assert attempts(DamageError, 1) == (False, 1)


def test_rows_that_break_the_contract_are_not_tried_again() -> None:
    assert attempts(ContractError, 1) == (False, 1)


def test_each_step_that_writes_has_the_pool_of_its_table() -> None:
    from athlete_assets import definitions

    built = definitions.build(Settings())
    written = [asset_key(table) for table in (tables.ACTIVITY, tables.REJECTS, tables.DAILY, tables.PREDICTIONS)]
    pools = {key.to_user_string(): built.resolve_assets_def(key).op.pool for key in (*written, TIME_ESTIMATOR)}
    assert pools == {
        "feature_store/activity_features": "activity_features",
        "silver_rejects/strava_activities": "activity_features",
        "feature_store/athlete_daily_features": "athlete_daily_features",
        "gold/athlete_predictions": "athlete_predictions",
        "models/time_estimator": "time_estimator",
    }
