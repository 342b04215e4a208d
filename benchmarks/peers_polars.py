"""The feature tables as polars computes them: what `feature_build.py` compares with.

Lazy plans that run in the streaming engine and write Parquet by month. Daily, weekly and rolling hold the columns of
ours. Activity is simpler than ours: duplicates are records that start within a minute of each other, the threshold pace
is the best effort of 90 days without critical speed and without a look at what is usual for the athlete, maximum heart
rate is the highest of a year, and statements, splits and recordings are not read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from athlete_assets import tables
from athlete_assets.features import efforts, rolling
from athlete_assets.features.daily import BEST_PACE_FROM_KM
from athlete_assets.features.thresholds import BANDS_S, BEST_EFFORT_S, EFFORT_FROM_M, SLOWEST_EFFORT_MPS
from athlete_assets.formulas import race_times
from athlete_assets.formulas.sequences import MONOTONY_CAP
from athlete_assets.formulas.training_load import BANISTER_WEIGHTS, THRESHOLD_RESERVE, ZONE_EDGES, ZONES
from athlete_assets.settings import Settings

Files = dict[str, list[str]]
"""By table name the Parquet files that hold its rows."""
ATHLETE, DAY = "athlete_id", "activity_date"


def write(rows: pl.LazyFrame, day: str, out: Path) -> None:
    month = pl.col(day).dt.strftime("%Y-%m").alias("month")
    rows.sink_parquet(pl.PartitionBy(out, key={"month": month}, include_key=False), mkdir=True, engine="streaming")


def scan(files: Files, table: tables.Table) -> pl.LazyFrame:
    return pl.scan_parquet(files[table.name], hive_partitioning=False)


def effort_time(moving: pl.Expr, elapsed: pl.Expr, is_race: pl.Expr) -> pl.Expr:
    steady = is_race | elapsed.is_null() | (elapsed <= moving * (1 + efforts.LONGEST_PAUSE_SHARE))
    return pl.when(is_race & (elapsed >= moving)).then(elapsed).when(steady).then(moving)


def vdot(metres: pl.Expr, seconds: pl.Expr) -> pl.Expr:
    return oxygen_cost(metres / (seconds / 60)) / held_share(seconds / 60)


def oxygen_cost(speed: pl.Expr) -> pl.Expr:
    return -4.6 + 0.182258 * speed + 0.000104 * speed * speed


def held_share(minutes: pl.Expr) -> pl.Expr:
    return 0.8 + 0.1894393 * (-0.012778 * minutes).exp() + 0.2989558 * (-0.1932605 * minutes).exp()


def activity(files: Files, out: Path, settings: Settings) -> None:
    start, metres = pl.col("start_date"), pl.col("distance")
    previous = pl.col("start_date", "distance").shift().over(ATHLETE, order_by=["start_date", "id"])
    local = pl.col("start_date_local").dt.replace_time_zone("UTC")
    moving, elapsed = pl.col("moving_time"), pl.col("elapsed_time")
    is_run = pl.col("sport_type").is_in(tables.RUN_SPORTS)
    is_race = (is_run & (pl.col("workout_type") == 1)).fill_null(False)
    beats = {
        name: pl.when(pl.col(name).is_between(settings.min_heart_rate_bpm, settings.max_heart_rate_bpm)).then(name)
        for name in ("average_heartrate", "max_heartrate")
    }
    rows = (
        scan(files, tables.STRAVA_ACTIVITIES)
        .filter(moving > 0, moving <= settings.max_duration_h * 3600, ~is_run | (metres > 0))
        .filter(~is_run | (metres < 1000) | (metres <= settings.max_run_speed_mps * moving))
        .with_columns(previous.name.prefix("previous_"))
        .filter(
            ~(
                (start - pl.col("previous_start_date") <= pl.duration(seconds=settings.duplicate_start_s))
                & (
                    (metres - pl.col("previous_distance")).abs()
                    <= settings.duplicate_distance_share * pl.max_horizontal(metres, "previous_distance")
                )
            ).fill_null(False)
        )
        .select(
            ATHLETE,
            pl.col("id").alias("activity_id"),
            start.alias("event_timestamp"),
            "sport_type",
            is_run.alias("is_run"),
            is_race.alias("is_race"),
            pl.when(is_run & is_race)
            .then(True)
            .when(is_run & (elapsed != moving))
            .then(elapsed <= moving * (1 + efforts.LONGEST_PAUSE_SHARE))
            .alias("is_continuous"),
            (metres / 1000).alias("distance_km"),
            (moving / 60).alias("moving_time_min"),
            (elapsed / 60).alias("elapsed_time_min"),
            pl.when(is_run & (metres > 0)).then(moving / 60 / (metres / 1000)).alias("pace_min_km"),
            pl.col("total_elevation_gain").alias("elevation_gain_m"),
            pl.when(metres > 0).then(pl.col("total_elevation_gain") / (metres / 1000)).alias("elevation_per_km"),
            beats["average_heartrate"].alias("avg_hr"),
            beats["max_heartrate"].alias("max_hr"),
            "source",
            local.dt.truncate("1d").alias(DAY),
            metres.alias("m"),
            pl.when(is_run).then(effort_time(moving, elapsed, is_race)).alias("s"),
        )
    )
    speed, m, s = pl.col("m") / pl.col("s"), pl.col("m"), pl.col("s")
    hour_oxygen = vdot(m, s) * held_share(pl.lit(60.0))
    hour_speed = (-0.182258 + (0.182258**2 + 4 * 0.000104 * (hour_oxygen + 4.6)).sqrt()) / (2 * 0.000104) / 60
    is_effort = (m >= EFFORT_FROM_M) & s.is_between(float(BANDS_S[0]), BEST_EFFORT_S[1])
    is_effort &= (speed >= SLOWEST_EFFORT_MPS) & (vdot(m, s) <= race_times.HIGHEST_VDOT)
    rows = rows.with_columns(
        pl.when(is_effort).then(pl.when(s >= BEST_EFFORT_S[0]).then(speed).otherwise(hour_speed)).alias("held")
    )

    def before(name: str, days: int) -> pl.Expr:
        return pl.col(name).rolling_max_by(DAY, f"{days}d", closed="left").over(ATHLETE)

    hours, resting, pace = pl.col("moving_time_min") / 60, settings.default_resting_hr_bpm, pl.col("pace_min_km")
    threshold = 1000 / (pl.col("best_held") * 60)
    factor, exponent = BANISTER_WEIGHTS["M"]
    reserve = (pl.col("avg_hr") - resting) / (pl.col("hr_max_bpm") - resting)
    of_an_hour = 60 * THRESHOLD_RESERVE * factor * pl.lit(exponent * THRESHOLD_RESERVE).exp()
    trimp = pl.col("moving_time_min") * reserve.clip(0) * factor * (exponent * reserve.clip(0)).exp()
    load = pl.coalesce(hours * pl.col("intensity_factor") ** 2 * 100, 100 * trimp / of_an_hour)
    zone = 1 + pl.sum_horizontal(pl.col("avg_hr") >= pl.col("hr_max_bpm") * edge / 10 for edge in ZONE_EDGES)
    known_zone = pl.col("avg_hr").is_not_null() & pl.col("hr_max_bpm").is_not_null()
    rows = (
        rows.with_columns(
            before("held", settings.threshold_window_days).alias("best_held"),
            before("max_hr", settings.hr_max_window_days).alias("hr_max_bpm"),
        )
        .with_columns(
            threshold.fill_null(settings.default_threshold_pace_min_km).alias("threshold_pace_min_km"),
            pl.when(pl.col("best_held").is_null())
            .then(pl.lit("default"))
            .otherwise(pl.lit("best_effort"))
            .alias("threshold_source"),
        )
        .with_columns((pl.col("threshold_pace_min_km") / pace).alias("intensity_factor"))
        .with_columns(
            pl.when(load <= settings.max_tss_per_hour * hours).then(load).alias("estimated_tss"),
            *(
                pl.when(known_zone).then((zone == number).cast(pl.Float64)).alias(f"hr_zone_{number}_pct")
                for number in ZONES
            ),
            (m / (pl.col("moving_time_min") * pl.col("avg_hr"))).alias("efficiency_index"),
        )
        .drop("m", "s", "held", "best_held", "is_run")
    )
    write(rows, DAY, out)


def runs_of(activities: pl.LazyFrame) -> pl.LazyFrame:
    is_run = pl.col("sport_type").is_in(tables.RUN_SPORTS)
    return activities.filter(is_run & (pl.col("distance_km") > 0) & pl.col("pace_min_km").is_not_null())


def daily(files: Files, out: Path, settings: Settings) -> None:
    activities = scan(files, tables.ACTIVITY)
    km, minutes, load = pl.col("distance_km"), pl.col("moving_time_min"), pl.col("estimated_tss")
    is_run = pl.col("sport_type").is_in(tables.RUN_SPORTS) & (km > 0) & pl.col("pace_min_km").is_not_null()
    effort = effort_time(minutes, pl.col("elapsed_time_min"), pl.col("is_race"))
    by_day = activities.group_by(ATHLETE, DAY).agg(
        pl.len().alias("activities"),
        km.sum(),
        minutes.sum(),
        pl.col("elevation_gain_m").sum(),
        load.sum().alias("daily_tss"),
        load.null_count().alias("untracked_activities"),
        (effort / km).filter(is_run & (km >= BEST_PACE_FROM_KM)).min().alias("best_pace_min_km"),
        km.filter(is_run).max().alias("longest_run_km"),
        is_run.sum().alias("runs"),
        km.filter(is_run).sum().alias("run_distance_km"),
        minutes.filter(is_run).sum().alias("run_moving_time_min"),
    )
    last = pl.lit(settings.today).cast(pl.Datetime("us", "UTC")) - pl.duration(days=1)
    calendar = (
        activities.group_by(ATHLETE)
        .agg(pl.col(DAY).min().alias("first"))
        .select(ATHLETE, pl.datetime_ranges("first", last, "1d").alias(DAY))
        .explode(DAY)
    )
    zeros = ("distance_km", "moving_time_min", "elevation_gain_m", "daily_tss", "run_distance_km")
    counts = ("untracked_activities", "runs")
    rows = (
        calendar.join(by_day, on=[ATHLETE, DAY], how="left")
        .with_columns(pl.col("activities").is_null().alias("is_rest_day"))
        .with_columns(
            pl.col(*zeros, "run_moving_time_min").fill_null(0.0),
            pl.col("activities", *counts).fill_null(0).cast(pl.Int64),
        )
        .with_columns(
            pl.when(pl.col("runs") > 0)
            .then(pl.col("run_moving_time_min") / pl.col("run_distance_km"))
            .alias("avg_pace_min_km")
        )
    )
    write(rows, DAY, out)


def capped_monotony(mean: pl.Expr, deviation: pl.Expr, varies: pl.Expr, has_load: pl.Expr) -> pl.Expr:
    ratio = pl.when(varies & (deviation > 0)).then(pl.min_horizontal(mean / deviation, MONOTONY_CAP))
    return pl.when(has_load).then(ratio.otherwise(MONOTONY_CAP))


def weekly(files: Files, out: Path, settings: Settings) -> None:
    week = pl.col(DAY).dt.truncate("1w").alias("week_start")
    day_loads = [f"load_{day}" for day in range(7)]
    totals = (
        scan(files, tables.DAILY)
        .group_by(ATHLETE, week)
        .agg(
            pl.col("distance_km").sum().alias("weekly_distance_km"),
            pl.col("activities").sum().alias("weekly_activities"),
            pl.col("daily_tss").sum().alias("weekly_tss"),
            pl.col("elevation_gain_m").sum().alias("weekly_elevation_m"),
            pl.col("moving_time_min").sum().alias("weekly_moving_time_min"),
            pl.col("run_distance_km").sum(),
            pl.col("run_moving_time_min").sum(),
            pl.col("longest_run_km").max(),
            (pl.col("activities") > 0).sum().cast(pl.Int64).alias("active_days"),
            *(
                pl.col("daily_tss").filter(pl.col(DAY).dt.weekday() == day + 1).sum().alias(name)
                for day, name in enumerate(day_loads)
            ),
        )
    )
    mean = pl.sum_horizontal(day_loads) / 7
    deviation = (pl.sum_horizontal((pl.col(name) - mean) ** 2 for name in day_loads) / 7).sqrt()
    highest, lowest = pl.max_horizontal(day_loads), pl.min_horizontal(day_loads)
    monotony = capped_monotony(mean, deviation, highest > lowest, highest > 0)
    km, earlier = pl.col("weekly_distance_km"), pl.col("weekly_distance_km").shift()
    is_adjacent = pl.col("week_start") - pl.col("week_start").shift() == pl.duration(days=7)
    change = pl.when(is_adjacent & (earlier > 0)).then((km / earlier - 1) * 100)
    rows = (
        totals.with_columns(
            pl.when(pl.col("run_distance_km") > 0)
            .then(pl.col("run_moving_time_min") / pl.col("run_distance_km"))
            .alias("avg_pace_week"),
            monotony.alias("training_monotony"),
        )
        .with_columns(
            (pl.col("weekly_tss") * pl.col("training_monotony")).alias("training_strain"),
            change.over(ATHLETE, order_by="week_start").alias("distance_change_pct"),
        )
        .drop("run_distance_km", "run_moving_time_min", *day_loads)
    )
    write(rows, "week_start", out)


def rolling_state(files: Files, out: Path, settings: Settings) -> None:
    activities = scan(files, tables.ACTIVITY)
    daily_columns = (
        "activities",
        "untracked_activities",
        "distance_km",
        "daily_tss",
        "runs",
        "run_distance_km",
        "run_moving_time_min",
        "best_pace_min_km",
        "longest_run_km",
    )
    runs = runs_of(activities)
    points = runs.group_by(ATHLETE, DAY).agg(
        pl.len().cast(pl.Float64).alias("points"), (pl.col("pace_min_km") - 5.5).sum().alias("pace_sum")
    )
    best = best_efforts(runs)
    of_day = best.group_by(ATHLETE, DAY).agg(pl.col("rank").min())
    rows = (
        scan(files, tables.DAILY)
        .select(ATHLETE, DAY, *daily_columns)
        .join(points, on=[ATHLETE, DAY], how="left")
        .join(of_day, on=[ATHLETE, DAY], how="left")
        .sort(ATHLETE, DAY)
        .with_columns(
            pl.col("points", "pace_sum").fill_null(0.0),
            (pl.col("activities") > 0).cast(pl.Float64).alias("active"),
            pl.int_range(1, pl.len() + 1).over(ATHLETE).alias("observed"),
        )
        .with_columns(pl.col("observed").cast(pl.Float64).sub(365).alias("x"))
        .with_columns(
            *((pl.col(name) * pl.col("x")).alias(f"{name}_x") for name in ("points", "pace_sum", "distance_km")),
            (pl.col("points") * pl.col("x") ** 2).alias("points_xx"),
            (pl.col("x") ** 2).alias("xx"),
            (pl.col("daily_tss") ** 2).alias("tss_squared"),
        )
    )

    def window(name: str, days: int, how: str = "sum") -> pl.Expr:
        return getattr(pl.col(name), f"rolling_{how}")(days, min_samples=1).over(ATHLETE).alias(f"{name}_{how}_{days}")

    def average(weight: float, from_zero: bool) -> pl.Expr:
        load = pl.col("daily_tss")
        if from_zero:
            load = pl.when(pl.col("observed") == 1).then(load * weight).otherwise(load)
        return load.ewm_mean(alpha=weight, adjust=False).over(ATHLETE)

    rows = rows.with_columns(
        average(rolling.FITNESS_WEIGHT, True).alias("ctl_42d"),
        average(rolling.FATIGUE_WEIGHT, True).alias("atl_7d"),
        average(rolling.ACUTE_WEIGHT, False).alias("acute_load_7d"),
        average(rolling.CHRONIC_WEIGHT, False).alias("chronic_load_28d"),
        *(window(name, 30) for name in ("activities", "active", "distance_km", "distance_km_x", "x", "xx")),
        *(window(name, 30) for name in ("points", "points_x", "points_xx", "pace_sum", "pace_sum_x")),
        *(window(name, 30) for name in ("runs", "run_distance_km", "run_moving_time_min")),
        window("active", 14),
        window("activities", 42),
        window("untracked_activities", 42),
        window("best_pace_min_km", 30, "min"),
        window("longest_run_km", 30, "max"),
        window("longest_run_km", 7, "max"),
        *(window("daily_tss", 7, how) for how in ("sum", "min", "max")),
        window("tss_squared", 7),
        window("rank", rolling.BEST_EFFORT_DAYS, "min"),
    )
    observed = pl.col("observed")
    days_30 = observed.clip(1, 30)
    mean = pl.col("daily_tss_sum_7") / 7
    lowest = pl.when(observed < 7).then(0.0).otherwise(pl.col("daily_tss_min_7"))
    deviation = (pl.col("tss_squared_sum_7") / 7 - mean**2).clip(0).sqrt()
    monotony = capped_monotony(mean, deviation, pl.col("daily_tss_max_7") > lowest, pl.col("daily_tss_max_7") > 0)

    def slope(n: pl.Expr, x: str, xx: str, y: str, xy: str) -> pl.Expr:
        spread = n * pl.col(xx) - pl.col(x) ** 2
        return pl.when(spread > 0.5).then((n * pl.col(xy) - pl.col(x) * pl.col(y)) / spread) * 30

    def workload_ratio(acute: str, chronic: str) -> pl.Expr:
        enough = (observed >= 28) & (pl.col(chronic) >= rolling.SMALLEST_CHRONIC_LOAD)
        return pl.when(enough).then(pl.col(acute) / pl.col(chronic))

    pace_trend = slope(
        pl.col("points_sum_30"), "points_x_sum_30", "points_xx_sum_30", "pace_sum_sum_30", "pace_sum_x_sum_30"
    )
    distance_trend = slope(days_30, "x_sum_30", "xx_sum_30", "distance_km_sum_30", "distance_km_x_sum_30")
    before = pl.col("longest_run_km_max_30").shift(7).over(ATHLETE)
    rows = rows.select(
        ATHLETE,
        pl.col(DAY).alias("as_of_date"),
        "ctl_42d",
        "atl_7d",
        (pl.col("ctl_42d") - pl.col("atl_7d")).alias("tsb"),
        (pl.col("ctl_42d") - pl.col("ctl_42d").shift(7).over(ATHLETE).fill_null(0.0)).alias("ramp_rate_7d"),
        (observed <= rolling.WARMUP_DAYS).alias("warmup"),
        workload_ratio("atl_7d", "ctl_42d").alias("acwr"),
        "acute_load_7d",
        "chronic_load_28d",
        workload_ratio("acute_load_7d", "chronic_load_28d").alias("acwr_7d_28d"),
        pl.when(pl.col("points_sum_30") > 4.5).then(pace_trend).alias("pace_trend_30d"),
        pl.when(observed >= 5).then(distance_trend).alias("distance_trend_30d"),
        pl.min_horizontal(pl.col("active_sum_30") / (days_30 * settings.expected_active_days_per_week / 7), 1.0).alias(
            "consistency_score"
        ),
        pl.col("activities_sum_30").cast(pl.Int64).alias("activities_30d"),
        pl.col("distance_km_sum_30").alias("total_distance_30d_km"),
        pl.when(pl.col("runs_sum_30") > 0)
        .then(pl.col("run_moving_time_min_sum_30") / pl.col("run_distance_km_sum_30"))
        .alias("avg_pace_30d"),
        pl.col("best_pace_min_km_min_30").alias("best_pace_30d"),
        pl.col("longest_run_km_max_30").alias("longest_run_30d_km"),
        (pl.col("longest_run_km_max_7") / before).alias("long_run_spike"),
        monotony.alias("training_monotony_7d"),
        (pl.col("daily_tss_sum_7") * monotony).alias("training_strain_7d"),
        (observed.clip(1, 14) - pl.col("active_sum_14")).cast(pl.Int64).alias("rest_days_14d"),
        pl.when(pl.col("activities_sum_42") > 0)
        .then(pl.col("untracked_activities_sum_42") / pl.col("activities_sum_42"))
        .alias("untracked_share_42d"),
        pl.col("rank_min_180").alias("rank"),
    )
    is_acute, is_monotone = pl.col("acwr") > settings.acwr_risk, pl.col("training_monotony_7d") > settings.monotony_risk
    reasons = pl.concat_list(
        pl.when(is_acute).then(pl.lit("acwr")), pl.when(is_monotone).then(pl.lit("training_monotony_7d"))
    ).list.drop_nulls()
    rows = (
        rows.join(best.select("rank", "m", "s", pl.col(DAY).alias("on")), on="rank", how="left")
        .with_columns(
            pl.col("m").alias("best_effort_distance_m"),
            pl.col("s").alias("best_effort_time_s"),
            (pl.col("as_of_date") - pl.col("on")).dt.total_days().alias("best_effort_age_days"),
            pl.when(pl.col("acwr").is_not_null())
            .then(is_acute | is_monotone.fill_null(False))
            .alias("is_overtraining_risk"),
            pl.when(pl.col("acwr").is_not_null()).then(reasons).alias("risk_reasons"),
        )
        .drop("rank", "m", "s", "on")
    )
    write(rows, "as_of_date", out)


def best_efforts(runs: pl.LazyFrame) -> pl.LazyFrame:
    """athlete, day, m, s and rank of the efforts that may be an athlete's best, the smallest 10 km equivalent first."""
    moving, elapsed, is_race = pl.col("moving_time_min"), pl.col("elapsed_time_min"), pl.col("is_race")
    has_clock = is_race | (elapsed.is_not_null() & (elapsed != moving))
    m, s = pl.col("m"), pl.col("s")
    logarithm = pl.col("e").log()
    by_day = {"by": DAY, "window_size": f"{rolling.USUAL_EFFORT_DAYS}d", "closed": "left"}
    return (
        runs.select(
            ATHLETE,
            DAY,
            (pl.col("distance_km") * 1000).alias("m"),
            (effort_time(moving, elapsed, is_race) * 60).alias("s"),
            pl.when(has_clock).then(rolling.IMPLAUSIBLE_SHARE).otherwise(1 / efforts.CLOCKLESS_LEAD).alias("share"),
        )
        .filter((m >= rolling.BEST_EFFORT_FROM_KM * 1000) & (s > 0))
        .filter(vdot(m, s) <= race_times.HIGHEST_VDOT)
        .with_columns((s * (10_000.0 / m) ** race_times.RIEGEL_EXPONENT).alias("e"))
        .with_columns(
            logarithm.rolling_mean_by(min_samples=rolling.USUAL_EFFORT_POINTS, **by_day)
            .over(ATHLETE)
            .exp()
            .fill_null(0.0)
            .alias("usual")
        )
        .filter(pl.col("e") >= pl.col("share") * pl.col("usual"))
        .sort("e", DAY, m, descending=[False, True, True])
        .with_row_index("rank")
        .select(ATHLETE, DAY, "m", "s", pl.col("rank").cast(pl.Int64))
    )


STEPS: dict[str, Callable[[Files, Path, Settings], None]] = {
    "activity": activity,
    "daily": daily,
    "weekly": weekly,
    "rolling": rolling_state,
}
