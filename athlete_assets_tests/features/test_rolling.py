"""athlete_rolling_features: the state at the end of each day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days, midnight
from athlete_assets.features import performance, rolling
from athlete_assets.features.daily import daily_features
from athlete_assets.settings import Settings
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.features.rows import (
    Activity,
    activity_rows,
    assert_same,
    collected,
    daily_rows,
    day,
    no_rows,
    on_days,
)
from athlete_assets_tests.formulas.test_race_times import oracle
from athlete_assets_tests.rows import frame
from athlete_assets_tests.silver.rows import arrow, athlete
from athlete_assets_tests.workers import answered

DEFAULTS = Settings()


def states(
    daily: DataFrame,
    days: Days,
    activities: DataFrame | None = None,
    state: DataFrame | None = None,
    settings: Settings = DEFAULTS,
) -> pd.DataFrame:
    """The days' states, from full history and without activities unless they are given."""
    spark = daily.sparkSession
    activities = no_rows(spark, tables.ACTIVITY) if activities is None else activities
    state = no_rows(spark, tables.ROLLING) if state is None else state
    return collected(rolling.rolling_features(daily, activities, state, days, settings), tables.ROLLING)


def states_of_loads(spark: SparkSession, loads: Sequence[float], **columns: Any) -> pd.DataFrame:
    """One athlete's state on each day of the loads."""
    first = columns.pop("first", day(0))
    days = Days(first, first + timedelta(days=len(loads) - 1))
    return states(daily_rows(spark, loads, first=first, **columns), days)


def states_of_activities(spark: SparkSession, activities: list[Activity], days: Days) -> pd.DataFrame:
    rows = activity_rows(spark, activities)
    whole = Days(min(days.first, *(activity.day for activity in activities)), days.last)
    return states(daily_features(rows, whole), days, rows)


# ------------------------------------------------------------------------------------- fitness, fatigue, form


def test_elevate_fitness_trend(sail: SparkSession) -> None:
    """Oracle 01: 1 - e^(-1/N), zero on the evening before the first activity, floored to 2 places.

    Elevate's TSB is yesterday's fitness less yesterday's fatigue; ours is the same day's, so ours of the day before.
    """
    case = oracle("01_pmc_elevate_fitness_trend")
    stress = case["inputs"]["daily_final_stress"]
    first = date(2018, 1, 1)
    loads = [float(stress.get((first + timedelta(days=n)).isoformat(), 0)) for n in range(43)]
    rows = states_of_loads(sail, loads, first=first).set_index("as_of_date")
    for expected in case["expected"]:
        on = pd.Timestamp(expected["date"], tz="UTC")
        assert math.floor(rows["ctl_42d"][on] * 100) / 100 == expected["ctl"]
        assert math.floor(rows["atl_7d"][on] * 100) / 100 == expected["atl"]
        assert math.floor(rows["tsb"][on - pd.Timedelta(days=1)] * 100) / 100 == expected["tsb"]
        assert rows["tsb"][on] == pytest.approx(rows["ctl_42d"][on] - rows["atl_7d"][on], rel=1e-12)


def test_a_hundred_on_each_of_42_days(sail: SparkSession) -> None:
    """Oracle 20, the exponential kernel: 63.2121; the ramp of the first week is the whole fitness."""
    rows = states_of_loads(sail, [100.0] * 42)
    expected = oracle("20_ewma_kernel_disambiguation")["ctl_day42"]["exp_1_minus_exp(-1/N)"]
    assert rows["ctl_42d"].iloc[-1] == pytest.approx(expected, abs=5e-5)
    fitness = [100 * (1 - math.exp(-n / 42)) for n in range(43)]  # the closed form for a steady load
    ramp = [fitness[n] - fitness[max(n - 7, 0)] for n in range(1, 43)]
    assert rows["ctl_42d"].tolist() == pytest.approx(fitness[1:], rel=1e-12)
    assert rows["ramp_rate_7d"].tolist() == pytest.approx(ramp, rel=1e-10)


def test_the_first_42_days_are_warmup(sail: SparkSession) -> None:
    assert states_of_loads(sail, [10.0] * 44)["warmup"].tolist() == [True] * 42 + [False] * 2


# ---------------------------------------------------------------------------------------------- workload ratio


def test_williams_workload_ratio(sail: SparkSession) -> None:
    """Oracle 12, R package ACWR (2/(N+1), seeded with the first day's load): 30 on 21 days, then 50 on 7."""
    expected = next(
        case
        for case in oracle("12_acwr_rolling_coupled_uncoupled_ewma")["derived_exact"]
        if case["name"].startswith("ACWR R package")
    )
    row = states_of_loads(sail, [30.0] * 21 + [50.0] * 7).iloc[-1]
    assert row["acute_load_7d"] == pytest.approx(expected["ewma_acute"], rel=1e-12)
    assert row["chronic_load_28d"] == pytest.approx(expected["ewma_chronic"], rel=1e-12)
    assert row["acwr_7d_28d"] == pytest.approx(expected["ewma_acwr"], rel=1e-12)


def test_athlytics_constant_load(sail: SparkSession) -> None:
    """Oracle 12: 60 on 121 days: acute, chronic and ratio within that project's tolerances, and Williams' exactly."""
    case = oracle("12_acwr_rolling_coupled_uncoupled_ewma")["asserted_by_peer"][0]
    row = states_of_loads(sail, [float(case["daily"])] * case["days"]).iloc[-1]
    assert row["acute_load_7d"] == row["chronic_load_28d"] == case["daily"]
    assert row["acwr_7d_28d"] == 1.0
    assert row["acwr"] == pytest.approx(case["expected"]["acwr"], abs=0.07)  # ctl is at 94 % of 60 after 121 days


def test_the_ratio_is_null_before_28_days_of_history(sail: SparkSession) -> None:
    rows = states_of_loads(sail, [50.0] * 30)
    for name in ("acwr", "acwr_7d_28d", "is_overtraining_risk", "risk_reasons"):
        assert rows[name].isna().tolist() == [True] * 27 + [False] * 3, name


def test_the_ratio_is_null_where_there_is_nothing_to_divide_by(sail: SparkSession) -> None:
    """One activity of 1 TSS: (1 - e^(-1/42)) e^(-(n-1)/42) is under 0.01 from the 37th day on: null (peers: 0)."""
    rows = states_of_loads(sail, [1.0] + [0.0] * 364)
    assert rows["acwr"].notna().tolist() == [28 <= n <= 36 for n in range(1, 366)]
    assert rows["is_overtraining_risk"].notna().tolist() == [28 <= n <= 36 for n in range(1, 366)]
    assert rows["acwr_7d_28d"].isna().iloc[-1]


# ------------------------------------------------------------------------------------------- trends and windows


def test_pace_trend_is_the_slope_per_30_days(sail: SparkSession) -> None:
    """Six runs, each two days later and 0.1 min/km faster: -0.05 a day, -1.5 in 30 days."""
    runs = [Activity("a", day(2 * n), km=10, minutes=10 * (6 - 0.1 * n)) for n in range(6)]
    rows = states_of_activities(sail, runs, Days(day(0), day(40)))
    assert rows["pace_trend_30d"].isna().tolist()[:9] == [True] * 8 + [False]  # the fifth run is on day 8
    assert rows["pace_trend_30d"].tolist()[8:32] == pytest.approx([-1.5] * 24, rel=1e-9)
    assert rows["pace_trend_30d"].isna()[32]  # on day 32 four runs are left


def test_pace_trend_counts_runs_not_days_and_no_other_sports(sail: SparkSession) -> None:
    """Two runs at 5:00 on day 0, three at 4:00 on day 2: slope -0.5 a day; walks and rides do not count."""
    runs = [Activity("a", day(0), minutes=50)] * 2 + [Activity("a", day(2), minutes=40)] * 3
    others = [Activity("a", day(1), minutes=99, sport="Walk"), Activity("a", day(1), minutes=30, sport="Ride")]
    row = states_of_activities(sail, runs + others, Days(day(2), day(2))).iloc[0]
    assert row["pace_trend_30d"] == pytest.approx(-15, rel=1e-12)
    assert pd.isna(states_of_activities(sail, runs[:4] + others, Days(day(2), day(2)))["pace_trend_30d"][0])


def test_five_runs_on_one_day_have_no_trend(sail: SparkSession) -> None:
    row = states_of_activities(sail, [Activity("a", day(0))] * 5, Days(day(0), day(0))).iloc[0]
    assert pd.isna(row["pace_trend_30d"])


def test_distance_trend(sail: SparkSession) -> None:
    """1, 2, 3 ... km: one more each day, 30 in 30 days; null before 5 observed days."""
    km = [float(n + 1) for n in range(40)]
    rows = states_of_loads(sail, [1.0] * 40, distance_km=km)
    assert rows["distance_trend_30d"].isna().tolist() == [True] * 4 + [False] * 36
    assert rows["distance_trend_30d"].tolist()[4:] == pytest.approx([30.0] * 36, rel=1e-9)


def test_thirty_days_are_thirty_days(sail: SparkSession) -> None:
    """A run of 30 km on day 0 counts up to day 29. By hand: 30 km at 6:00 and 10 km at 4:00 are 220 min on 40 km."""
    runs = [Activity("a", day(0), km=30, minutes=180), Activity("a", day(3), km=10, minutes=40)]
    rides = [Activity("a", day(3), km=50, minutes=100, sport="Ride")]
    rows = states_of_activities(sail, runs + rides, Days(day(0), day(34)))
    assert rows["activities_30d"].tolist() == [1] * 3 + [3] * 27 + [2] * 3 + [0] * 2
    assert rows["total_distance_30d_km"].tolist() == [30.0] * 3 + [90.0] * 27 + [60.0] * 3 + [0.0] * 2
    assert rows["avg_pace_30d"][29] == pytest.approx(220 / 40)
    assert rows["best_pace_30d"].tolist()[:33] == [6.0] * 3 + [4.0] * 30
    assert rows["longest_run_30d_km"].tolist()[:33] == [30.0] * 30 + [10.0] * 3
    assert rows[["avg_pace_30d", "best_pace_30d", "longest_run_30d_km"]].iloc[33:].isna().all(axis=None)


def test_long_run_spike(sail: SparkSession) -> None:
    """20 km on day 0, 30 km on day 10: 1.5 while the 30 km are in the last week and the 20 km in the month before."""
    runs = [Activity("a", day(0), km=20, minutes=100), Activity("a", day(10), km=30, minutes=150)]
    rows = states_of_activities(sail, runs, Days(day(0), day(50)))
    spike = rows["long_run_spike"]
    assert spike[10:17].tolist() == [1.5] * 7
    assert spike[:10].isna().all()
    assert spike[17:].isna().all()
    again = states_of_activities(sail, [*runs, Activity("a", day(36), km=15, minutes=75)], Days(day(36), day(36)))
    assert again["long_run_spike"].tolist() == [0.5]  # against the 30 km of day 10; the 20 km are 36 days back
    month = states_of_activities(sail, [runs[0], Activity("a", day(36), km=15, minutes=75)], Days(day(36), day(37)))
    assert month["long_run_spike"].tolist()[0] == 0.75  # day 0 is the oldest of the 30 days before the last 7
    assert month["long_run_spike"].isna()[1]


def test_consistency_is_capped_and_counts_observed_days(sail: SparkSession) -> None:
    """Oracle 16: 90 daily runs are consistency 1 (a peer gives 5.25) and no rest day of 14 (a peer gives -76)."""
    assert "5.25" in oracle("16_rest_days_calendar")["seed_result_on_90_daily_runs"]
    row = states_of_loads(sail, [50.0] * 90).iloc[-1]
    assert row["consistency_score"] == 1.0
    assert row["rest_days_14d"] == 0
    weekly_run = states_of_loads(sail, [50.0, 0, 0, 0, 0, 0, 0] * 6)["consistency_score"]
    assert weekly_run[6] == pytest.approx(1 / 4)  # one day in the 7 observed, 4 expected
    assert weekly_run[41] == pytest.approx(4 / (30 * 4 / 7))  # 4 active days in the last 30


def test_rest_days(sail: SparkSession) -> None:
    """Oracle 16: two rest days among the four observed. Then the last 14 days only."""
    case = oracle("16_rest_days_calendar")
    first, last = (date.fromisoformat(on) for on in case["inputs"]["range"])
    runs = [Activity("a", on) for on in map(date.fromisoformat, case["inputs"]["activity_dates"]) if on >= first]
    rows = states_of_activities(sail, runs, Days(first, last + timedelta(days=30)))
    assert rows["rest_days_14d"][3] == case["expected"]
    assert rows["rest_days_14d"].iloc[-1] == 14


def test_foster_monotony_and_strain(sail: SparkSession) -> None:
    """Oracle 04 over the last 7 calendar days, to 3e-4 (one number rounds its deviation); no load is null."""
    for case in oracle("04_foster_monotony_strain")["cases"]:
        if isinstance(case["monotony"], str) or not case["loads"]:
            continue
        row = states_of_loads(sail, [float(load) for load in case["loads"]], first=day(3)).iloc[-1]
        assert row["training_monotony_7d"] == pytest.approx(case["monotony"], rel=3e-4)
        if case["strain"]:
            assert row["training_strain_7d"] == pytest.approx(case["strain"], rel=3e-4)
    idle = states_of_loads(sail, [50.0] + [0.0] * 7)
    assert idle[["training_monotony_7d", "training_strain_7d"]].isna().all(axis=1).tolist() == [False] * 7 + [True]


# ----------------------------------------------------------------------------------------------- best effort


def test_best_effort_has_the_smallest_equivalent(sail: SparkSession) -> None:
    """By hand, t x (10/d)^1.06: 5 km in 20:00 is 41:42, 21.0975 km in 1:30:00 is 40:46, 10 km in 41:00 is 41:00."""
    runs = [
        Activity("a", day(0), km=21.0975, minutes=90),
        Activity("a", day(1), km=10, minutes=41),
        Activity("a", day(2), km=5, minutes=20),
        Activity("a", day(3), km=2.9, minutes=8),  # too short
        Activity("a", day(3), km=10, minutes=20, sport="Ride"),
        Activity("a", day(3), km=10, minutes=24),  # faster than the world record
    ]
    rows = states_of_activities(sail, runs, Days(day(0), day(182)))
    efforts = rows[["best_effort_distance_m", "best_effort_time_s", "best_effort_age_days"]]
    assert efforts.iloc[3].tolist() == pytest.approx([21097.5, 5400, 3])
    assert efforts.iloc[179].tolist() == pytest.approx([21097.5, 5400, 179])
    assert efforts.iloc[180].tolist() == pytest.approx([10000, 2460, 179])
    assert efforts.iloc[181].tolist() == pytest.approx([5000, 1200, 179])
    assert efforts.iloc[182].isna().all()


def test_a_ride_by_the_name_of_a_run_is_no_effort(sail: SparkSession) -> None:
    """Five 10 km in 60:00; 30 km in 90:00 are 28:05 over 10 km, 0.47 of the usual; a race in 40:00 is 0.67 of it.

    Among fewer runs the ride stands: nothing says what is usual.
    """
    usual = [Activity("a", day(n), minutes=60) for n in range(5)]
    ride, race = Activity("a", day(5), km=30, minutes=90, elapsed=91), Activity("a", day(6), minutes=40, elapsed=40.5)
    rows = states_of_activities(sail, [*usual, ride, race], Days(day(4), day(6)))
    assert rows["best_effort_time_s"].tolist() == [3600, 3600, 2400]
    again = states_of_activities(sail, [*usual, ride, race], Days(day(184), day(185)))
    assert again["best_effort_time_s"].tolist() == [2400, 2400]  # what was usual lies up to a year back
    assert states_of_activities(sail, [*usual[1:], ride], Days(day(5), day(5)))["best_effort_time_s"].tolist() == [5400]


def test_of_equal_efforts_the_newest_counts(sail: SparkSession) -> None:
    rows = states_of_activities(sail, [Activity("a", day(0)), Activity("a", day(4))], Days(day(3), day(5)))
    assert rows["best_effort_age_days"].tolist() == [3, 0, 1]


def test_the_best_of_several_on_one_day(sail: SparkSession) -> None:
    runs = [Activity("a", day(0), minutes=minutes) for minutes in (45, 38, 52)]
    assert states_of_activities(sail, runs, Days(day(0), day(0)))["best_effort_time_s"].tolist() == [38 * 60]


# -------------------------------------------------------------------------------------------------------- risk


def test_the_rule_names_its_reasons(sail: SparkSession) -> None:
    """Steady load is monotony 10; a sudden week after easy ones lifts acwr over 1.5; mixed weeks are neither."""
    steady = states_of_loads(sail, [50.0] * 90).iloc[-1]
    assert (steady["is_overtraining_risk"], steady["risk_reasons"]) == (True, "training_monotony_7d")
    mixed = [60.0, 0, 90, 30, 0, 120, 0]
    easy = states_of_loads(sail, mixed * 15).iloc[-1]
    assert (easy["is_overtraining_risk"], easy["risk_reasons"]) == (False, "")
    sudden = states_of_loads(sail, mixed * 10 + [300.0, 0, 300, 0, 300, 0, 300]).iloc[-1]
    assert (sudden["is_overtraining_risk"], sudden["risk_reasons"]) == (True, "acwr")
    both = states_of_loads(sail, mixed * 10 + [300.0] * 7).iloc[-1]
    assert (both["is_overtraining_risk"], both["risk_reasons"]) == (True, "acwr, training_monotony_7d")


def test_the_limits_are_settings(sail: SparkSession) -> None:
    daily = daily_rows(sail, [60.0, 0, 90, 30, 0, 120, 0] * 15)
    strict = Settings(acwr_risk=0.1, monotony_risk=0.1, expected_active_days_per_week=7)
    row = states(daily, Days(day(104), day(104)), settings=strict).iloc[0]
    assert row["risk_reasons"] == "acwr, training_monotony_7d"
    assert row["consistency_score"] == pytest.approx(17 / 30)


# ------------------------------------------------------------------------------------- increments and seams


def history(seed: int, days: int) -> tuple[list[float], list[Activity]]:
    random = np.random.default_rng(seed)
    loads = [float(load) if load > 60 else 0.0 for load in random.uniform(0, 180, days)]
    loads[0] = 80.0
    return loads, [Activity("a", day(n), minutes=50 + n % 7, load=load) for n, load in enumerate(loads) if load]


def test_an_increment_from_the_state_equals_full_history(sail: SparkSession) -> None:
    """Two years, the last week from the state, from the state and only the lookback of rows, and from full history."""
    loads, runs = history(3, 730)
    daily, activities = daily_rows(sail, loads), activity_rows(sail, runs)
    whole = states(daily, Days(day(0), day(729)), activities)
    last = Days(day(723), day(729))
    before = frame_of(sail, whole, day(722))
    expected = on_days(whole, tables.ROLLING, last)
    assert_same(states(daily, last, activities, before), expected)
    assert_same(states(daily, last, activities), expected)
    recent = daily.where(f"activity_date >= '{day(723 - rolling.LOOKBACK_DAYS)}'")
    assert_same(states(recent, last, activities, before), expected)


def test_the_averages_go_on_to_the_last_bit(sail: SparkSession) -> None:
    loads, _ = history(4, 300)
    daily = daily_rows(sail, loads)
    whole = states(daily, Days(day(0), day(299)))
    row = states(daily, Days(day(299), day(299)), state=frame_of(sail, whole, day(298))).iloc[0]
    for name in ("ctl_42d", "atl_7d", "acute_load_7d", "chronic_load_28d", "training_monotony_7d"):
        assert row[name] == whole[name].iloc[-1], name


def test_athletes_with_and_without_a_state_row_side_by_side(sail: SparkSession) -> None:
    """b lost its state row, c begins inside the range: each row is as if computed alone."""
    loads, _ = history(5, 200)
    daily = daily_rows(sail, loads).unionAll(daily_rows(sail, loads[::-1], athlete="b"))
    daily = daily.unionAll(daily_rows(sail, loads[:5], first=day(195), athlete="c"))
    whole = states(daily, Days(day(0), day(199)))
    last = Days(day(190), day(199))
    state = frame_of(sail, whole[whole["athlete_id"] == "a"], day(189))
    assert_same(states(daily, last, state=state), on_days(whole, tables.ROLLING, last))


def test_a_late_row_before_the_first_activity(sail: SparkSession) -> None:
    """Replaced from the touched day on, the state of the evening before holds no row of the athlete: begun anew."""
    runs = [Activity("a", day(n)) for n in range(30, 60, 3)]
    late = Activity("a", day(10), load=200.0)
    days = Days(day(0), day(59))
    before = states_of_activities(sail, runs, days)
    fresh = states_of_activities(sail, [late, *runs], days)
    rows = activity_rows(sail, [late, *runs])
    state = frame_of(sail, before, day(9))
    mended = states(daily_features(rows, days), Days(day(10), day(59)), rows, state)
    assert_same(mended, fresh)
    assert len(mended) == 50


def test_rows_after_the_range_do_not_exist_yet(sail: SparkSession) -> None:
    loads, runs = history(6, 60)
    daily, activities = daily_rows(sail, loads), activity_rows(sail, runs)
    upto = states(daily_rows(sail, loads[:40]), Days(day(30), day(39)), activity_rows(sail, runs[:1]).limit(0))
    later = states(daily, Days(day(30), day(39)))
    assert_same(later, upto)
    with_runs = states(daily, Days(day(30), day(39)), activities)
    past_runs = [run for run in runs if run.day <= day(39)]
    assert_same(with_runs, states(daily, Days(day(30), day(39)), activity_rows(sail, past_runs)))


def test_an_athlete_whose_rows_are_gone_has_no_row(sail: SparkSession) -> None:
    loads, _ = history(8, 50)
    state = frame_of(sail, states_of_loads(sail, loads), day(49))
    others = daily_rows(sail, [10.0], first=day(50), athlete="b")
    assert states(others, Days(day(50), day(50)), state=state)["athlete_id"].tolist() == ["b"]


def test_no_rows_are_no_rows(sail: SparkSession) -> None:
    assert states(no_rows(sail, tables.DAILY), Days(day(0), day(9))).empty


def frame_of(spark: SparkSession, rows: pd.DataFrame, on: date) -> DataFrame:
    """The collected states of one day as a table again."""
    chosen = on_days(rows, tables.ROLLING, Days(on, on)).drop(columns=["risk_reasons"])
    names = [
        f"`{name}`" if name != "risk_reasons" else "array('') AS risk_reasons" for name in tables.ROLLING.column_names
    ]
    if chosen.empty:
        return no_rows(spark, tables.ROLLING)
    return spark.createDataFrame(chosen).selectExpr(*names)


# -------------------------------------------------------------------------------------------------- workers


@pytest.mark.slow
@pytest.mark.parametrize("table", [tables.ROLLING, tables.PERFORMANCE], ids=lambda table: table.name)
def test_the_kernels_travel_with_the_function(tmp_path: Path, table: tables.Table) -> None:
    """A cluster's workers have NumPy and Arrow, but not this package: the function must hold all that it calls."""
    kernel, arguments = {
        tables.ROLLING: (rolling.bucket_states, (rolling_bucket(), 19_723, 3, rolling.Limits(4.0, 1.5, 2.0))),
        tables.PERFORMANCE: (performance.bucket_states, (performance_bucket(), 19_723, 3)),
    }[table]
    names = ["athlete_id", {tables.ROLLING: "ctl_42d", tables.PERFORMANCE: "median_60d_10k_s"}[table], "month"]
    told, sent = answered(kernel, arguments, f"made.select({names}).to_pylist()", tmp_path)
    assert told == str(kernel(*arguments).select(names).to_pylist())
    assert sent < 300_000


def rolling_bucket() -> dict[str, pa.Table]:
    """Three days of one athlete as a bucket's inputs, without a state or runs."""
    days = [{"daily_tss": load, "activities": int(load > 0)} for load in (100.0, 0.0, 50.0)]
    return {
        "state": input_rows(tables.ROLLING, rolling._STATE_COLUMNS, []),
        "days": input_rows(tables.DAILY, rolling._DAY_COLUMNS, days),
        "runs": input_rows(tables.ACTIVITY, rolling._RUN_COLUMNS, []),
    }


def performance_bucket() -> dict[str, pa.Table]:
    """Three days of one athlete, with a run of 10 km on each."""
    runs = [{"distance_km": 10.0, "moving_time_min": time} for time in (50.0, 49.0, 48.0)]
    return {
        "days": input_rows(tables.DAILY, [], [{}] * 3),
        "runs": input_rows(tables.ACTIVITY, performance.READ, runs),
    }


def input_rows(table: tables.Table, columns: Sequence[str], days: Sequence[dict[str, float]]) -> pa.Table:
    """Rows of the table as a kernel gets them, of consecutive days."""
    day = str(table.day_column)
    schema = pa.schema([arrow_schema(table).field(name).with_nullable(True) for name in ("athlete_id", day, *columns)])
    first = date(2024, 1, 1)  # 19,723 days after 1970-01-01
    given = [
        {"athlete_id": "a", day: midnight(first + offset * ONE_DAY), **values} for offset, values in enumerate(days)
    ]
    return pa.Table.from_pylist(given, schema=schema)


# ------------------------------------------------------------------------------------------------- a stated start

STARTS = tables.STRAVA_ATHLETE


def started(
    spark: SparkSession, loads: Sequence[float], *said: dict[str, Any], since: int = 0, split: int | None = None
) -> pd.DataFrame:
    """One athlete's states from day `since` on; with `split` in two ranges, the second from the state of the first."""
    daily, athletes = daily_rows(spark, loads, first=day(0)), frame(spark, arrow(said, STARTS), STARTS)
    last = len(loads) - 1
    none, made = no_rows(spark, tables.ACTIVITY), []
    state = no_rows(spark, tables.ROLLING)
    for first, end in [(since, last)] if split is None else [(since, split - 1), (split, last)]:
        rows = rolling.rolling_features(daily, none, state, Days(day(first), day(end)), DEFAULTS, athletes)
        made.append(collected(rows, tables.ROLLING))
        state = frame(spark, rows.toArrow())
    return pd.concat(made, ignore_index=True)


def start(on: int | None, fitness: float | None = None, fatigue: float | None = None, **changes: Any) -> dict[str, Any]:
    valid_from = None if on is None else midnight(day(on))
    return athlete(valid_from=valid_from, starting_fitness=fitness, starting_fatigue=fatigue, **changes)


def test_a_log_that_begins_in_the_middle_of_a_career_starts_where_the_athlete_says(spark: SparkSession) -> None:
    """Rest from 60 and 70 on: what is left after n days is 60 e^(-n/42) and 70 e^(-n/7)."""
    for said in (start(None, 60.0, 70.0), start(0, 60.0, 70.0), start(-400, 60.0, 70.0)):
        rows = started(spark, [0.0] * 9, said)
        assert rows["ctl_42d"].tolist() == pytest.approx([60 * math.exp(-n / 42) for n in range(1, 10)], rel=1e-12)
        assert rows["atl_7d"].tolist() == pytest.approx([70 * math.exp(-n / 7) for n in range(1, 10)], rel=1e-12)
        ramp = [60 * (math.exp(-n / 42) - math.exp(-max(n - 7, 0) / 42)) for n in range(1, 10)]
        assert rows["ramp_rate_7d"].tolist() == pytest.approx(ramp, rel=1e-9)
        assert not rows["warmup"].any()


def test_a_start_within_the_log_holds_from_its_morning_and_no_earlier_day_sees_it(sail: SparkSession) -> None:
    loads = [80.0] * 60
    without, rows = started(sail, loads), started(sail, loads, start(50, 60.0))
    same = [name for name in rows.columns if name not in ("ctl_42d", "tsb", "ramp_rate_7d", "acwr")]
    pd.testing.assert_frame_equal(rows[same], without[same].assign(risk_reasons=rows["risk_reasons"]))
    pd.testing.assert_frame_equal(rows[:50], without[:50])
    fitness = [80 - 20 * math.exp(-n / 42) for n in range(1, 11)]
    assert rows["ctl_42d"][50:].tolist() == pytest.approx(fitness, rel=1e-12)
    ramp = [fitness[n] - (60.0 if n < 7 else fitness[n - 7]) for n in range(10)]
    assert rows["ramp_rate_7d"][50:].tolist() == pytest.approx(ramp, rel=1e-9)


@pytest.mark.parametrize("split", [1, 3, 48, 50, 53, 57, 70])
def test_a_start_does_not_hang_on_where_the_range_begins(sail: SparkSession, split: int) -> None:
    loads = [float(load) for load in np.random.default_rng(5).uniform(0, 150, 75)]
    said = (start(None, 40.0, 30.0), start(50, 60.0, 20.0), start(53, None, 90.0))
    assert_same(started(sail, loads, *said, split=split), started(sail, loads, *said))
    assert_same(started(sail, loads, *said, since=split), started(sail, loads, *said)[split:].reset_index(drop=True))


def test_the_last_start_of_a_morning_counts_and_absurd_ones_do_not(sail: SparkSession) -> None:
    own = {"source": tables.OWN_WORD}
    said = (start(-5, 10.0), start(-3, 50.0), start(-3, 40.0, **own), start(0, 5000.0), start(0, -1.0))
    assert started(sail, [0.0], *said)["ctl_42d"].tolist() == pytest.approx([40 * math.exp(-1 / 42)], rel=1e-12)
