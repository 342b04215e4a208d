"""The feature tables as assets: each reads a window, calls its transform, replaces the window, checks the rows."""

from collections.abc import Iterator

import dagster as dg
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import (
    CONTRACT_CHECKS,
    asset_key,
    check_specs,
    materialized_window,
    store_of,
    table_asset,
    table_spec,
    work_chunks,
)
from athlete_assets.days import ONE_DAY, Days, midnight
from athlete_assets.features import activity, daily, performance, rolling, weekly
from athlete_assets.monitoring import charts, checks, consistency
from athlete_assets.partitions import days_of
from athlete_assets.settings import Settings
from athlete_assets.silver import quality
from athlete_assets.tables import Table


def feature_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """activity_features (with the rejects), athlete_daily_, _weekly_, _rolling_ and _performance_features."""
    days, weeks = partitions.daily(settings), partitions.weekly(settings)
    # The running week rests on days that are still to come: without this Dagster refuses a backfill that holds it.
    days_of_the_week = dg.AssetDep(
        asset_key(tables.DAILY),
        partition_mapping=dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True),
    )

    @table_asset(
        [
            table_spec(tables.ACTIVITY, settings, deps=[asset_key(table) for table in tables.SILVER]),
            table_spec(tables.REJECTS, settings, deps=[asset_key(tables.STRAVA_ACTIVITIES)]),
        ],
        checks=[
            *check_specs(tables.ACTIVITY, (*CONTRACT_CHECKS, "zone_shares", "counts_add_up")),
            *check_specs(tables.ACTIVITY, ["share_without_load"], blocking=False),
            *check_specs(tables.REJECTS, CONTRACT_CHECKS),
            *check_specs(tables.REJECTS, ["share_of_rejects"], blocking=False),
        ],
        partitions_def=days,
    )
    def activity_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        window = days_of(context)
        silver = store.read(tables.STRAVA_ACTIVITIES)
        splits, athletes = store.read(tables.STRAVA_SUB_ACTIVITY), store.read(tables.STRAVA_ATHLETE)
        for chunk in work_chunks(context, store, window):
            history = chunk.starting_earlier(activity.history_days(settings))
            verdicts = quality.verdicts(silver, history, settings)
            store.replace(tables.REJECTS, quality.rejects(verdicts, chunk), chunk)
            features = activity.activity_features(verdicts, splits, athletes, chunk, settings)
            store.replace(tables.ACTIVITY, features, chunk)
        accepted = store.read(tables.ACTIVITY, window)
        rejected_inside = store.read(tables.REJECTS, window).count()
        outside = store.read(tables.REJECTS).where(F.col("month") == tables.OUTSIDE_CALENDAR).count()
        read = quality.in_window(silver, window, settings).count()
        count, before = accepted.count(), consistency.year_before(window)
        earlier = store.read(tables.ACTIVITY, before)
        outcomes = [
            checks.zone_shares(accepted),
            checks.counts_add_up(read, count, rejected_inside + outside),
            consistency.share_without_load(accepted, earlier),
        ]
        yield materialized_window(store, tables.ACTIVITY, window, outcomes)
        rejected_before = store.read(tables.REJECTS, before).count()
        share = consistency.share_of_rejects(count, rejected_inside, earlier.count(), rejected_before)
        if rejected_inside:
            reasons = charts.reject_reasons(store.read(tables.REJECTS, window))
            charts.attach(context, tables.REJECTS, window, {"reject_reasons": reasons})
        yield materialized_window(store, tables.REJECTS, window, [share])

    @table_asset(
        [table_spec(tables.DAILY, settings, deps=[asset_key(tables.ACTIVITY)])],
        checks=check_specs(tables.DAILY, (*CONTRACT_CHECKS, "activities_add_up", "no_gaps")),
        partitions_def=days,
    )
    def athlete_daily_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        window = days_of(context)
        activities = store.read(tables.ACTIVITY)
        for chunk in work_chunks(context, store, window):
            store.replace(tables.DAILY, daily.daily_features(_up_to(activities, tables.ACTIVITY, chunk), chunk), chunk)
        rows = store.read(tables.DAILY, window)
        outcomes = [
            consistency.activities_add_up(store.read(tables.ACTIVITY, window), rows),
            consistency.no_gaps(rows, window),
        ]
        yield materialized_window(store, tables.DAILY, window, outcomes)

    @table_asset(
        [table_spec(tables.WEEKLY, settings, deps=[days_of_the_week])],
        checks=check_specs(tables.WEEKLY, (*CONTRACT_CHECKS, "weekly_is_sum_of_daily")),
        partitions_def=weeks,
    )
    def athlete_weekly_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        window = days_of(context)
        for chunk in work_chunks(context, store, window):
            rows = weekly.weekly_features(store.read(tables.DAILY, chunk.starting_earlier(7)), chunk)
            store.replace(tables.WEEKLY, rows, chunk)
        summed = consistency.weekly_is_sum_of_daily(store.read(tables.DAILY, window), store.read(tables.WEEKLY, window))
        if settings.today in window:
            volume = charts.weekly_volume(store.read(tables.WEEKLY), window.last)
            charts.attach(context, tables.WEEKLY, window, {"weekly_volume": volume})
        yield materialized_window(store, tables.WEEKLY, window, [summed])

    @table_asset(
        [table_spec(tables.ROLLING, settings, deps=[asset_key(tables.DAILY), asset_key(tables.ACTIVITY)])],
        checks=check_specs(tables.ROLLING, (*CONTRACT_CHECKS, "one_row_a_day", "fitness_tie_out")),
        partitions_def=days,
    )
    def athlete_rolling_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        window = days_of(context)
        for chunk in work_chunks(context, store, window):
            evening_before = chunk.first - ONE_DAY
            rows = rolling.rolling_features(
                _up_to(store.read(tables.DAILY), tables.DAILY, chunk),
                _up_to(store.read(tables.ACTIVITY), tables.ACTIVITY, chunk),
                store.read(tables.ROLLING, Days(evening_before, evening_before)),
                chunk,
                settings,
            )
            store.replace(tables.ROLLING, rows, chunk)
        rows = store.read(tables.ROLLING, window)
        outcomes = [
            consistency.one_row_a_day("one_row_a_day", store.read(tables.DAILY, window), rows, tables.ROLLING),
            consistency.fitness_tie_out(store.read(tables.DAILY), rows, window),
        ]
        if settings.today in window:
            load = charts.training_load(store.read(tables.ROLLING), window.last)
            charts.attach(context, tables.ROLLING, window, {"training_load": load})
        yield materialized_window(store, tables.ROLLING, window, outcomes)

    @table_asset(
        [table_spec(tables.PERFORMANCE, settings, deps=[asset_key(tables.DAILY), asset_key(tables.ACTIVITY)])],
        checks=check_specs(tables.PERFORMANCE, CONTRACT_CHECKS),
        partitions_def=days,
    )
    def athlete_performance_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        window = days_of(context)
        for chunk in work_chunks(context, store, window):
            activities = store.read(tables.ACTIVITY, chunk.starting_earlier(performance.LOOKBACK_DAYS))
            rows = performance.performance_features(store.read(tables.DAILY, chunk), activities, chunk)
            store.replace(tables.PERFORMANCE, rows, chunk)
        yield materialized_window(store, tables.PERFORMANCE, window)

    return [
        activity_features,
        athlete_daily_features,
        athlete_weekly_features,
        athlete_rolling_features,
        athlete_performance_features,
    ]


def _up_to(rows: DataFrame, table: Table, days: Days) -> DataFrame:
    """The rows of the days and of all history before them, never of a day after."""
    return rows.where(F.col(str(table.day_column)) <= F.lit(midnight(days.last)))
