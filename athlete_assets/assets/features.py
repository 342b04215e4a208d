"""The feature tables as assets: each reads a window, calls its transform, replaces the window, checks the rows."""

from collections.abc import Iterator
from functools import partial

import dagster as dg
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import partitions, tables
from athlete_assets.assets.builder import (
    asset_key,
    check_specs,
    in_pieces,
    materialize_result,
    store_of,
    store_of_run,
    table_asset,
    table_spec,
)
from athlete_assets.days import ONE_DAY, Days
from athlete_assets.features import activity, daily, monthly, performance, rolling, weekly
from athlete_assets.monitoring import anomalies, charts, checks, reconciliation
from athlete_assets.partitions import days_of
from athlete_assets.settings import Settings
from athlete_assets.silver import quality
from athlete_assets.store.base import Store, Written
from athlete_assets.store.by_athlete import watch

NEWEST_STATE = ("ctl_42d", "atl_7d", "tsb", "ramp_rate_7d", "acwr", "total_distance_30d_km", "is_overtraining_risk")


def feature_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """activity_features (with the rejects), athlete_daily_, _weekly_, _rolling_ and _performance_features."""
    builders = (activity_asset, daily_asset, weekly_asset, rolling_asset, performance_asset)
    return [build(settings) for build in builders]


def activity_asset(settings: Settings) -> dg.AssetsDefinition:
    """Silver activities, each either a row with features or a reject with its reasons."""

    @table_asset(
        settings,
        [
            table_spec(tables.ACTIVITY, settings, deps=[asset_key(table) for table in tables.OF_FEATURES]),
            table_spec(tables.REJECTS, settings, deps=[asset_key(tables.STRAVA_ACTIVITIES)]),
            table_spec(
                tables.MONTHLY,
                settings,
                deps=[asset_key(table) for table in (tables.STRAVA_ACTIVITIES, tables.STRAVA_BEST_EFFORT)],
            ),
        ],
        checks=[
            *check_specs(
                tables.ACTIVITY,
                (
                    *checks.CONTRACT_CHECKS,
                    checks.ZONE_SHARES,
                    checks.COUNTS_ADD_UP,
                    anomalies.SHARE_WITHOUT_LOAD,
                    anomalies.ROW_COUNT_STABLE,
                ),
            ),
            *check_specs(tables.REJECTS, (*checks.CONTRACT_CHECKS, anomalies.SHARE_OF_REJECTS)),
            *check_specs(tables.MONTHLY, (*checks.CONTRACT_CHECKS, reconciliation.MONTHS_ADD_UP)),
        ],
        partitions_def=partitions.daily(settings),
    )
    def activity_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of_run(context)
        window = days_of(context)
        history = window.starting_earlier(activity.history_days(settings))
        rejected, written, of_months = list[Written](), list[Written](), list[Written]()
        are_whole = monthly.are_whole(store)
        # of all history where some of it lacks them; a run of some athletes leaves that to one of all
        months = window.whole_months if store.athletes or are_whole else None
        for piece in in_pieces(context, store, tables.ACTIVITY, window):
            silver = piece.read(tables.STRAVA_ACTIVITIES)
            recordings, efforts = (piece.read_if_there(table) for table in tables.OPTIONAL)
            rows = activity.judged_activities(
                silver,
                activity.of_activities(piece.read(tables.STRAVA_SUB_ACTIVITY), silver, window),
                piece.read(tables.STRAVA_ATHLETE),
                window,
                settings,
                None if recordings is None else activity.of_activities(recordings, silver, window),
                None if efforts is None else activity.of_activities(efforts, silver, history),
                _stored_past(piece, silver, history, window, settings),
                piece.held,
            )
            rejected.append(piece.replace(tables.REJECTS, rows[tables.REJECTS], window))
            written.append(piece.replace(tables.ACTIVITY, rows[tables.ACTIVITY], window))
            made = monthly.monthly_features(piece.read(tables.ACTIVITY), efforts, months)
            of_months.append(piece.replace(tables.MONTHLY, made, months))
        silver = store.read(tables.STRAVA_ACTIVITIES)
        whole = store_of(context)
        accepted = store.read(tables.ACTIVITY, window)
        rejects_inside = store.count(tables.REJECTS, window)
        rejects_outside = store.read(tables.REJECTS).where(F.col("month") == tables.OUTSIDE_CALENDAR).count()
        read = quality.in_window(silver, window, settings).count()
        count, before = store.count(tables.ACTIVITY, window), anomalies.history_before(window, settings)
        # shares are said of the window: of all athletes, whomever the run is about
        earlier, now = whole.read(tables.ACTIVITY, before), whole.read(tables.ACTIVITY, window)
        outcomes = [
            checks.zone_shares(accepted),
            checks.counts_add_up(read, count, rejects_inside + rejects_outside),
            anomalies.share_without_load(now, earlier, settings),
            anomalies.row_count_stable(written, settings),
        ]
        yield materialize_result(store, tables.ACTIVITY, window, written=written, outcomes=outcomes)

        def rejected_of(days: Days) -> anomalies.Counts:
            rejects = whole.count(tables.REJECTS, days)
            return rejects, whole.count(tables.ACTIVITY, days) + rejects

        share = anomalies.share_of_rejects(rejected_of(window), lambda: rejected_of(before), settings)
        if rejects_inside:
            reasons = charts.reject_reasons(whole.read(tables.REJECTS, window))
            charts.attach(context, tables.REJECTS, window, {"reject_reasons": reasons})
        yield materialize_result(store, tables.REJECTS, window, written=rejected, outcomes=[share])
        told = whole if are_whole else store  # how many activities of all there are is told by the files
        add_up = reconciliation.months_add_up(told.count(tables.ACTIVITY, months), told.read(tables.MONTHLY, months))
        yield materialize_result(store, tables.MONTHLY, months, written=of_months, outcomes=[add_up])

    return activity_features


def daily_asset(settings: Settings) -> dg.AssetsDefinition:
    """The dense calendar of each athlete."""

    @table_asset(
        settings,
        [table_spec(tables.DAILY, settings, deps=[asset_key(tables.ACTIVITY), asset_key(tables.MONTHLY)])],
        checks=check_specs(
            tables.DAILY,
            (
                *checks.CONTRACT_CHECKS,
                reconciliation.ACTIVITIES_ADD_UP,
                reconciliation.NO_GAPS,
                anomalies.ROW_COUNT_STABLE,
            ),
        ),
        partitions_def=partitions.daily(settings),
    )
    def athlete_daily_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of_run(context)
        window = days_of(context)
        written, seen = list[Written](), list[pa.Table]()
        whole = monthly.are_whole(store)
        for piece in in_pieces(context, store, tables.DAILY, window):
            months = piece.read(tables.MONTHLY) if whole else None
            rows = daily.daily_features(piece.read(tables.ACTIVITY), window, months)
            watch(rows, partial(reconciliation.sums_of_call, window=window), seen)
            written.append(piece.replace(tables.DAILY, rows, window))
        activities, rows = store.read(tables.ACTIVITY), store.read(tables.DAILY, window)
        stored = store.count(tables.ACTIVITY, window), store.count(tables.DAILY, window)
        outcomes = [
            reconciliation.activities_add_up(store.read(tables.ACTIVITY, window), rows, seen, stored),
            reconciliation.no_gaps(rows, activities, window, seen, stored[1]),
            anomalies.row_count_stable(written, settings),
        ]
        yield materialize_result(store, tables.DAILY, window, written=written, outcomes=outcomes)

    return athlete_daily_features


def weekly_asset(settings: Settings) -> dg.AssetsDefinition:
    """Weeks from Monday, the running week included."""
    days_of_the_week = dg.AssetDep(asset_key(tables.DAILY), partition_mapping=partitions.days_of_its_week())

    @table_asset(
        settings,
        [table_spec(tables.WEEKLY, settings, deps=[days_of_the_week])],
        checks=check_specs(
            tables.WEEKLY,
            (
                *checks.CONTRACT_CHECKS,
                reconciliation.WEEKLY_IS_SUM_OF_DAILY,
                anomalies.ROW_COUNT_STABLE,
            ),
        ),
        partitions_def=partitions.weekly(settings),
    )
    def athlete_weekly_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of_run(context)
        window = days_of(context)
        written, seen = list[Written](), list[pa.Table]()
        for piece in in_pieces(context, store, tables.WEEKLY, window):
            rows = weekly.weekly_features(piece.read(tables.DAILY, window.starting_earlier(7)), window)
            watch(rows, partial(reconciliation.drawn_sums_of_call, window=window), seen)
            written.append(piece.replace(tables.WEEKLY, rows, window))
        days, weeks = store.read(tables.DAILY, window), store.read(tables.WEEKLY, window)
        stored = store.count(tables.DAILY, window), store.count(tables.WEEKLY, window)
        outcomes = [
            reconciliation.weekly_is_sum_of_daily(days, weeks, seen, stored),
            anomalies.row_count_stable(written, settings),
        ]
        if settings.today in window:
            volume = charts.weekly_volume(store_of(context).read(tables.WEEKLY), window.last)
            charts.attach(context, tables.WEEKLY, window, {"weekly_volume": volume})
        yield materialize_result(store, tables.WEEKLY, window, written=written, outcomes=outcomes)

    return athlete_weekly_features


def rolling_asset(settings: Settings) -> dg.AssetsDefinition:
    """The state at the end of each day, continued from the evening before the window."""

    @table_asset(
        settings,
        [
            table_spec(
                tables.ROLLING,
                settings,
                deps=[asset_key(table) for table in (tables.DAILY, tables.ACTIVITY, tables.STRAVA_ATHLETE)],
            )
        ],
        checks=check_specs(
            tables.ROLLING,
            (
                *checks.CONTRACT_CHECKS,
                reconciliation.ONE_ROW_A_DAY,
                reconciliation.FITNESS_RECOMPUTED,
                anomalies.ROW_COUNT_STABLE,
            ),
        ),
        partitions_def=partitions.daily(settings),
    )
    def athlete_rolling_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of_run(context)
        window = days_of(context)
        evening_before = window.first - ONE_DAY
        written = []
        for piece in in_pieces(context, store, tables.ROLLING, window):
            rows = rolling.rolling_features(
                piece.read(tables.DAILY),
                piece.read(tables.ACTIVITY),
                piece.read(tables.ROLLING, Days(evening_before, evening_before)),
                window,
                settings,
                piece.read(tables.STRAVA_ATHLETE),
            )
            written.append(piece.replace(tables.ROLLING, rows, window))
        rows, athletes = store.read(tables.ROLLING, window), store.read(tables.STRAVA_ATHLETE)
        outcomes = [
            reconciliation.one_row_a_day(store.read(tables.DAILY, window), rows),
            reconciliation.fitness_recomputed(store.read(tables.DAILY), rows, window, settings, athletes),
            anomalies.row_count_stable(written, settings),
        ]
        if settings.today in window:
            whole = store_of(context)
            load = charts.training_load(whole.read(tables.ROLLING), window.last)
            today = whole.read(tables.ROLLING, Days(window.last, window.last))
            newest = charts.newest(today, NEWEST_STATE, by="ctl_42d")
            charts.attach(context, tables.ROLLING, window, {"training_load": load, "newest": newest})
        yield materialize_result(store, tables.ROLLING, window, written=written, outcomes=outcomes)

    return athlete_rolling_features


def performance_asset(settings: Settings) -> dg.AssetsDefinition:
    """Best efforts and what they say, as known at the end of each day."""

    @table_asset(
        settings,
        [
            table_spec(
                tables.PERFORMANCE,
                settings,
                deps=[asset_key(table) for table in (tables.DAILY, tables.ACTIVITY, tables.STRAVA_BEST_EFFORT)],
            )
        ],
        checks=check_specs(tables.PERFORMANCE, (*checks.CONTRACT_CHECKS, anomalies.ROW_COUNT_STABLE)),
        partitions_def=partitions.daily(settings),
    )
    def athlete_performance_features(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of_run(context)
        window = days_of(context)
        written = []
        for piece in in_pieces(context, store, tables.PERFORMANCE, window):
            rows = performance.performance_features(
                piece.read(tables.DAILY, window),
                piece.read(tables.ACTIVITY, window.starting_earlier(performance.LOOKBACK_DAYS)),
                window,
                piece.read_if_there(tables.STRAVA_BEST_EFFORT),
            )
            written.append(piece.replace(tables.PERFORMANCE, rows, window))
        stable = anomalies.row_count_stable(written, settings)
        yield materialize_result(store, tables.PERFORMANCE, window, written=written, outcomes=[stable])

    return athlete_performance_features


def _stored_past(store: Store, silver: DataFrame, history: Days, window: Days, settings: Settings) -> DataFrame | None:
    """ACTIVITY rows of the history before the window, where all of silver's days there are stored: then nobody needs
    to judge them once more. None where they are not, as in a range that begins in the middle of an empty table.

    Whether they are is told by their number, of both what was accepted and what was rejected. What they say is
    trusted, as the state of an evening is by rolling features: a change of an earlier day is followed by the days
    that rest on it (orchestration.affected_days).
    """
    first = max(history.first, settings.start_date)
    if first >= window.first:
        return None
    before = Days(first, window.first - ONE_DAY)
    stored = sum(store.count(table, before) for table in (tables.ACTIVITY, tables.REJECTS))
    if stored != quality.on_days(silver, before).count():
        return None
    return store.read(tables.ACTIVITY, before)
