"""The feature tables as DuckDB computes them: what `feature_build.py` compares with.

One statement a table, which writes Parquet by month. The columns are those of `peers_polars`, whose activity is simpler
than ours. DuckDB has no recursion along a window: the weighted averages are running sums of loads that grow by 1/q a
day, divided by the same power. All terms are positive, so no digit is lost, and a double holds them for 2,400 days.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from athlete_assets import tables
from athlete_assets.features import efforts, rolling
from athlete_assets.features.daily import BEST_PACE_FROM_KM
from athlete_assets.features.thresholds import BANDS_S, BEST_EFFORT_S, EFFORT_FROM_M, SLOWEST_EFFORT_MPS
from athlete_assets.formulas import race_times
from athlete_assets.formulas.sequences import MONOTONY_CAP
from athlete_assets.formulas.training_load import BANISTER_WEIGHTS, THRESHOLD_RESERVE, ZONE_EDGES, ZONES
from athlete_assets.settings import Settings

Files = dict[str, list[str]]
RUNS = ", ".join(f"'{sport}'" for sport in tables.RUN_SPORTS)
STEADY = 1 + efforts.LONGEST_PAUSE_SHARE


def write(query: str, day: str, out: Path) -> None:
    out.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            f"COPY (SELECT *, strftime({day}, '%Y-%m') AS month FROM ({query})) TO '{out}' "
            "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (month), OVERWRITE_OR_IGNORE)"
        )


def scan(files: Files, table: tables.Table) -> str:
    return f"read_parquet({files[table.name]!r}, hive_partitioning = false)"


def effort_time(moving: str, elapsed: str, is_race: str) -> str:
    return (
        f"CASE WHEN {is_race} AND {elapsed} >= {moving} THEN {elapsed} "
        f"WHEN {is_race} OR {elapsed} IS NULL OR {elapsed} <= {moving} * {STEADY} THEN {moving} END"
    )


def held_share(minutes: str) -> str:
    return f"(0.8 + 0.1894393 * exp(-0.012778 * ({minutes})) + 0.2989558 * exp(-0.1932605 * ({minutes})))"


def vdot(m: str, s: str) -> str:
    speed = f"({m} / ({s} / 60))"
    return f"((-4.6 + 0.182258 * {speed} + 0.000104 * {speed} * {speed}) / {held_share(f'{s} / 60')})"


def activity(files: Files, out: Path, settings: Settings) -> None:
    factor, exponent = BANISTER_WEIGHTS["M"]
    resting, least, most = settings.default_resting_hr_bpm, settings.min_heart_rate_bpm, settings.max_heart_rate_bpm
    edges = " + ".join(f"(avg_hr >= hr_max_bpm * {edge} / 10)::INT" for edge in ZONE_EDGES)
    zones = ", ".join(
        f"CASE WHEN avg_hr + hr_max_bpm IS NOT NULL THEN (zone = {zone})::DOUBLE END AS hr_zone_{zone}_pct"
        for zone in ZONES
    )
    oxygen = f"({vdot('m', 's')} * {held_share('60.0')} + 4.6)"
    hour_speed = f"((-0.182258 + sqrt(0.182258 ** 2 + 4 * 0.000104 * {oxygen})) / (2 * 0.000104) / 60)"
    an_hour = f"(60 * {THRESHOLD_RESERVE} * {factor} * exp({exponent} * {THRESHOLD_RESERVE}))"
    reserve = f"greatest((avg_hr - {resting}) / (hr_max_bpm - {resting}), 0)"
    write(
        f"""
        WITH judged AS (
            SELECT *, sport_type IN ({RUNS}) AS is_run,
                coalesce(sport_type IN ({RUNS}) AND workout_type = 1, false) AS is_race,
                start_date - lag(start_date) OVER records <= INTERVAL {settings.duplicate_start_s} SECOND
                AND abs(distance - lag(distance) OVER records)
                    <= {settings.duplicate_distance_share} * greatest(distance, lag(distance) OVER records) AS is_again
            FROM {scan(files, tables.STRAVA_ACTIVITIES)}
            WHERE moving_time > 0 AND moving_time <= {settings.max_duration_h * 3600}
                AND (sport_type NOT IN ({RUNS}) OR (distance > 0
                    AND (distance < 1000 OR distance <= {settings.max_run_speed_mps} * moving_time)))
            WINDOW records AS (PARTITION BY athlete_id ORDER BY start_date, id)
        ), measured AS (
            SELECT athlete_id, id AS activity_id, start_date AS event_timestamp, sport_type, is_race,
                CASE WHEN is_run AND is_race THEN true
                    WHEN is_run AND elapsed_time <> moving_time THEN elapsed_time <= moving_time * {STEADY}
                    END AS is_continuous,
                distance / 1000 AS distance_km, moving_time / 60 AS moving_time_min,
                elapsed_time / 60 AS elapsed_time_min,
                CASE WHEN is_run AND distance > 0 THEN moving_time / 60 / (distance / 1000) END AS pace_min_km,
                total_elevation_gain AS elevation_gain_m,
                CASE WHEN distance > 0 THEN total_elevation_gain / (distance / 1000) END AS elevation_per_km,
                CASE WHEN average_heartrate BETWEEN {least} AND {most} THEN average_heartrate END AS avg_hr,
                CASE WHEN max_heartrate BETWEEN {least} AND {most} THEN max_heartrate END AS max_hr,
                source, date_trunc('day', start_date_local)::TIMESTAMP AT TIME ZONE 'UTC' AS activity_date,
                distance AS m, CASE WHEN is_run THEN {effort_time("moving_time", "elapsed_time", "is_race")} END AS s
            FROM judged WHERE NOT coalesce(is_again, false)
        ), held AS (
            SELECT *, CASE WHEN m >= {EFFORT_FROM_M} AND s BETWEEN {BANDS_S[0]} AND {BEST_EFFORT_S[1]}
                    AND m / s >= {SLOWEST_EFFORT_MPS} AND {vdot("m", "s")} <= {race_times.HIGHEST_VDOT}
                THEN CASE WHEN s >= {BEST_EFFORT_S[0]} THEN m / s ELSE {hour_speed} END END AS held_mps
            FROM measured
        ), known AS (
            SELECT *, max(held_mps) OVER threshold_days AS best_held, max(max_hr) OVER hr_days AS hr_max_bpm
            FROM held
            WINDOW threshold_days AS (PARTITION BY athlete_id ORDER BY activity_date RANGE BETWEEN
                INTERVAL {settings.threshold_window_days} DAY PRECEDING AND INTERVAL 1 DAY PRECEDING),
            hr_days AS (PARTITION BY athlete_id ORDER BY activity_date RANGE BETWEEN
                INTERVAL {settings.hr_max_window_days} DAY PRECEDING AND INTERVAL 1 DAY PRECEDING)
        ), paced AS (
            SELECT *, coalesce(1000 / (best_held * 60), {settings.default_threshold_pace_min_km})
                    AS threshold_pace_min_km,
                CASE WHEN best_held IS NULL THEN 'default' ELSE 'best_effort' END AS threshold_source,
                1 + {edges} AS zone
            FROM known
        ), loaded AS (
            SELECT *, threshold_pace_min_km / pace_min_km AS intensity_factor,
                coalesce(moving_time_min / 60 * (threshold_pace_min_km / pace_min_km) ** 2 * 100,
                    100 * moving_time_min * {reserve} * {factor} * exp({exponent} * {reserve}) / {an_hour}) AS load
            FROM paced
        )
        SELECT * EXCLUDE (m, s, held_mps, best_held, zone, load),
            CASE WHEN load <= {settings.max_tss_per_hour} * moving_time_min / 60 THEN load END AS estimated_tss,
            {zones}, m / (moving_time_min * avg_hr) AS efficiency_index
        FROM loaded
        """,
        "activity_date",
        out,
    )


def daily(files: Files, out: Path, settings: Settings) -> None:
    effort = effort_time("moving_time_min", "elapsed_time_min", "is_race")
    write(
        f"""
        WITH activities AS (
            SELECT *, sport_type IN ({RUNS}) AND distance_km > 0 AND pace_min_km IS NOT NULL AS is_run
            FROM {scan(files, tables.ACTIVITY)}
        ), by_day AS (
            SELECT athlete_id, activity_date, count(*) AS activities, sum(distance_km) AS distance_km,
                sum(moving_time_min) AS moving_time_min, sum(elevation_gain_m) AS elevation_gain_m,
                sum(estimated_tss) AS daily_tss, count(*) - count(estimated_tss) AS untracked_activities,
                min({effort} / distance_km) FILTER (is_run AND distance_km >= {BEST_PACE_FROM_KM}) AS best_pace_min_km,
                max(distance_km) FILTER (is_run) AS longest_run_km, count(*) FILTER (is_run) AS runs,
                sum(distance_km) FILTER (is_run) AS run_distance_km,
                sum(moving_time_min) FILTER (is_run) AS run_moving_time_min
            FROM activities GROUP BY ALL
        ), calendar AS (
            SELECT athlete_id, unnest(generate_series(min(activity_date), TIMESTAMPTZ '{settings.today} 00:00:00Z'
                - INTERVAL 1 DAY, INTERVAL 1 DAY)) AS activity_date
            FROM activities GROUP BY athlete_id
        )
        SELECT athlete_id, activity_date, coalesce(activities, 0) AS activities,
            coalesce(distance_km, 0) AS distance_km, coalesce(moving_time_min, 0) AS moving_time_min,
            coalesce(elevation_gain_m, 0) AS elevation_gain_m, coalesce(daily_tss, 0) AS daily_tss,
            coalesce(untracked_activities, 0) AS untracked_activities,
            run_moving_time_min / run_distance_km AS avg_pace_min_km, best_pace_min_km, longest_run_km,
            coalesce(runs, 0) AS runs, coalesce(run_distance_km, 0) AS run_distance_km,
            coalesce(run_moving_time_min, 0) AS run_moving_time_min, activities IS NULL AS is_rest_day
        FROM calendar LEFT JOIN by_day USING (athlete_id, activity_date)
        """,
        "activity_date",
        out,
    )


def monotony(mean: str, deviation: str, varies: str, has_load: str) -> str:
    ratio = f"CASE WHEN {varies} AND {deviation} > 0 THEN least({mean} / {deviation}, {MONOTONY_CAP})"
    return f"CASE WHEN {has_load} THEN {ratio} ELSE {MONOTONY_CAP} END END"


def weekly(files: Files, out: Path, settings: Settings) -> None:
    loads = [f"load_{day}" for day in range(7)]
    each = ", ".join(loads)
    sums = ", ".join(
        f"coalesce(sum(daily_tss) FILTER (isodow(activity_date) = {day + 1}), 0) AS {name}"
        for day, name in enumerate(loads)
    )
    deviation = f"sqrt(({' + '.join(f'({name} - mean) ** 2' for name in loads)}) / 7)"
    highest, lowest = f"greatest({each})", f"least({each})"
    write(
        f"""
        WITH totals AS (
            SELECT athlete_id, date_trunc('week', activity_date) AS week_start,
                sum(distance_km) AS weekly_distance_km, sum(activities)::BIGINT AS weekly_activities,
                sum(daily_tss) AS weekly_tss, sum(elevation_gain_m) AS weekly_elevation_m,
                sum(moving_time_min) AS weekly_moving_time_min, sum(run_distance_km) AS run_distance_km,
                sum(run_moving_time_min) AS run_moving_time_min, max(longest_run_km) AS longest_run_km,
                count(*) FILTER (activities > 0) AS active_days, {sums}
            FROM {scan(files, tables.DAILY)} GROUP BY ALL
        ), means AS (
            SELECT *, ({" + ".join(loads)}) / 7 AS mean FROM totals
        ), judged AS (
            SELECT *, {deviation} AS deviation FROM means
        ), weeks AS (
            SELECT * EXCLUDE ({each}, mean, deviation),
                {monotony("mean", "deviation", f"{highest} > {lowest}", f"{highest} > 0")} AS training_monotony,
                lag(weekly_distance_km) OVER by_week AS earlier_km, lag(week_start) OVER by_week AS earlier
            FROM judged WINDOW by_week AS (PARTITION BY athlete_id ORDER BY week_start)
        )
        SELECT * EXCLUDE (run_distance_km, run_moving_time_min, earlier_km, earlier),
            CASE WHEN run_distance_km > 0 THEN run_moving_time_min / run_distance_km END AS avg_pace_week,
            weekly_tss * training_monotony AS training_strain,
            CASE WHEN earlier_km > 0 AND week_start - earlier = INTERVAL 7 DAY
                THEN (weekly_distance_km / earlier_km - 1) * 100 END AS distance_change_pct
        FROM weeks
        """,
        "week_start",
        out,
    )


def rolling_state(files: Files, out: Path, settings: Settings) -> None:
    effort = effort_time("moving_time_min", "elapsed_time_min", "is_race")
    share = f"CASE WHEN has_clock THEN {rolling.IMPLAUSIBLE_SHARE} ELSE {1 / efforts.CLOCKLESS_LEAD} END"

    def average(weight: float, from_zero: bool) -> str:
        keep = 1 - weight
        summed = f"sum(daily_tss * {weight} * {keep} ** (-observed)) OVER past * {keep} ** observed"
        return summed if from_zero else f"{summed} + first_value(daily_tss) OVER past * {keep} ** observed"

    def slope(n: str, x: str, xx: str, y: str, xy: str) -> str:
        return f"CASE WHEN {n} * {xx} - {x} ** 2 > 0.5 THEN ({n} * {xy} - {x} * {y}) / ({n} * {xx} - {x} ** 2) * 30 END"

    def ratio(acute: str, chronic: str) -> str:
        return f"CASE WHEN observed >= 28 AND {chronic} >= {rolling.SMALLEST_CHRONIC_LOAD} THEN {acute} / {chronic} END"

    lowest = "(CASE WHEN observed < 7 THEN 0 ELSE lowest END)"
    write(
        f"""
        WITH runs AS (
            SELECT *, is_race OR (elapsed_time_min IS NOT NULL AND elapsed_time_min <> moving_time_min) AS has_clock,
                distance_km * 1000 AS m, ({effort}) * 60 AS s
            FROM {scan(files, tables.ACTIVITY)}
            WHERE sport_type IN ({RUNS}) AND distance_km > 0 AND pace_min_km IS NOT NULL
        ), points AS (
            SELECT athlete_id, activity_date, count(*) AS points, sum(pace_min_km - 5.5) AS pace_sum
            FROM runs GROUP BY ALL
        ), plausible AS (
            SELECT *, s * (10000.0 / m) ** {race_times.RIEGEL_EXPONENT} AS e
            FROM runs WHERE m >= {rolling.BEST_EFFORT_FROM_KM * 1000} AND s > 0
                AND {vdot("m", "s")} <= {race_times.HIGHEST_VDOT}
        ), usual AS (
            SELECT *, avg(ln(e)) OVER before AS usual, count(*) OVER before AS usual_points FROM plausible
            WINDOW before AS (PARTITION BY athlete_id ORDER BY activity_date RANGE BETWEEN
                INTERVAL {rolling.USUAL_EFFORT_DAYS} DAY PRECEDING AND INTERVAL 1 DAY PRECEDING)
        ), best AS (
            SELECT athlete_id, activity_date, m, s, row_number() OVER (ORDER BY e, activity_date DESC, m DESC) AS rank
            FROM usual WHERE usual_points < {rolling.USUAL_EFFORT_POINTS} OR e >= {share} * exp(usual)
        ), of_day AS (
            SELECT athlete_id, activity_date, min(rank) AS rank FROM best GROUP BY ALL
        ), days AS (
            SELECT *, row_number() OVER (PARTITION BY athlete_id ORDER BY activity_date) AS observed
            FROM {scan(files, tables.DAILY)}
        ), joined AS (
            SELECT days.*, observed - 365.0::DOUBLE AS x, coalesce(points, 0)::DOUBLE AS points,
                coalesce(pace_sum, 0) AS pace_sum, rank
            FROM days LEFT JOIN points USING (athlete_id, activity_date)
                LEFT JOIN of_day USING (athlete_id, activity_date)
        ), windows AS (
            SELECT athlete_id, activity_date, observed,
                {average(rolling.FITNESS_WEIGHT, True)} AS ctl_42d, {average(rolling.FATIGUE_WEIGHT, True)} AS atl_7d,
                {average(rolling.ACUTE_WEIGHT, False)} AS acute_load_7d,
                {average(rolling.CHRONIC_WEIGHT, False)} AS chronic_load_28d,
                sum(activities) OVER d30 AS activities_30, count(*) FILTER (activities > 0) OVER d30 AS active_30,
                count(*) FILTER (activities > 0) OVER d14 AS active_14,
                sum(activities) OVER d42 AS activities_42, sum(untracked_activities) OVER d42 AS untracked_42,
                sum(distance_km) OVER d30 AS km_30, regr_slope(distance_km, x) OVER d30 * 30 AS distance_trend,
                sum(runs) OVER d30 AS runs_30, sum(run_distance_km) OVER d30 AS run_km_30,
                sum(run_moving_time_min) OVER d30 AS run_min_30, min(best_pace_min_km) OVER d30 AS best_pace_30d,
                max(longest_run_km) OVER d30 AS longest_run_30d_km, max(longest_run_km) OVER d7 AS longest_7,
                max(longest_run_km) OVER d30_before AS longest_before,
                sum(points) OVER d30 AS n, sum(points * x) OVER d30 AS nx, sum(points * x * x) OVER d30 AS nxx,
                sum(pace_sum) OVER d30 AS y, sum(pace_sum * x) OVER d30 AS xy,
                sum(daily_tss) OVER d7 AS load_7, sum(daily_tss ** 2) OVER d7 AS squares_7,
                min(daily_tss) OVER d7 AS lowest, max(daily_tss) OVER d7 AS highest,
                min(rank) OVER d180 AS rank
            FROM joined
            WINDOW past AS (PARTITION BY athlete_id ORDER BY activity_date ROWS UNBOUNDED PRECEDING),
                d7 AS (PARTITION BY athlete_id ORDER BY activity_date ROWS 6 PRECEDING),
                d14 AS (PARTITION BY athlete_id ORDER BY activity_date ROWS 13 PRECEDING),
                d30 AS (PARTITION BY athlete_id ORDER BY activity_date ROWS 29 PRECEDING),
                d42 AS (PARTITION BY athlete_id ORDER BY activity_date ROWS 41 PRECEDING),
                d30_before AS (PARTITION BY athlete_id ORDER BY activity_date
                    ROWS BETWEEN 36 PRECEDING AND 7 PRECEDING),
                d180 AS (PARTITION BY athlete_id ORDER BY activity_date
                    ROWS {rolling.BEST_EFFORT_DAYS - 1} PRECEDING)
        ), ratios AS (
            SELECT *, ctl_42d - coalesce(lag(ctl_42d, 7) OVER (PARTITION BY athlete_id ORDER BY activity_date), 0)
                    AS ramp_rate_7d,
                {ratio("atl_7d", "ctl_42d")} AS acwr, {ratio("acute_load_7d", "chronic_load_28d")} AS acwr_7d_28d,
                load_7 / 7 AS mean, sqrt(greatest(squares_7 / 7 - (load_7 / 7) ** 2, 0)) AS deviation
            FROM windows
        ), judged AS (
            SELECT *, {monotony("mean", "deviation", f"highest > {lowest}", "highest > 0")} AS training_monotony_7d
            FROM ratios
        )
        SELECT judged.athlete_id, judged.activity_date AS as_of_date, ctl_42d, atl_7d, ctl_42d - atl_7d AS tsb,
            ramp_rate_7d, observed <= {rolling.WARMUP_DAYS} AS warmup, acwr, acute_load_7d, chronic_load_28d,
            acwr_7d_28d, CASE WHEN n > 4.5 THEN {slope("n", "nx", "nxx", "y", "xy")} END AS pace_trend_30d,
            CASE WHEN observed >= 5 THEN distance_trend END AS distance_trend_30d,
            least(active_30 / (least(observed, 30) * {settings.expected_active_days_per_week} / 7), 1)
                AS consistency_score,
            activities_30::BIGINT AS activities_30d, km_30 AS total_distance_30d_km,
            CASE WHEN runs_30 > 0 THEN run_min_30 / run_km_30 END AS avg_pace_30d, best_pace_30d, longest_run_30d_km,
            longest_7 / longest_before AS long_run_spike, training_monotony_7d,
            load_7 * training_monotony_7d AS training_strain_7d,
            least(observed, 14) - active_14 AS rest_days_14d, m AS best_effort_distance_m, s AS best_effort_time_s,
            date_diff('day', best.activity_date, judged.activity_date) AS best_effort_age_days,
            CASE WHEN acwr IS NOT NULL THEN acwr > {settings.acwr_risk}
                OR coalesce(training_monotony_7d > {settings.monotony_risk}, false) END AS is_overtraining_risk,
            CASE WHEN acwr IS NOT NULL THEN list_filter([
                CASE WHEN acwr > {settings.acwr_risk} THEN 'acwr' END,
                CASE WHEN training_monotony_7d > {settings.monotony_risk} THEN 'training_monotony_7d' END
            ], lambda reason: reason IS NOT NULL) END AS risk_reasons,
            CASE WHEN activities_42 > 0 THEN untracked_42 / activities_42 END AS untracked_share_42d
        FROM judged LEFT JOIN best ON judged.rank = best.rank
        """,
        "as_of_date",
        out,
    )


STEPS: dict[str, Callable[[Files, Path, Settings], None]] = {
    "activity": activity,
    "daily": daily,
    "weekly": weekly,
    "rolling": rolling_state,
}
