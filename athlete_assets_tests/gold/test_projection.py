"""What loads to come lead to is what the features say once they came; and the answers hold when they are followed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.features.rolling import rolling_features
from athlete_assets.gold.projection import projections
from athlete_assets.settings import Settings
from athlete_assets_tests.features.rows import collected, daily_table, day, no_rows
from athlete_assets_tests.rows import frame, rows

SETTINGS = Settings()
LOADS = [float(n % 5 and 30 + 7 * (n % 11)) for n in range(63)]
"""Nine weeks, the last day a Sunday."""
TODAY = day(len(LOADS) - 1)
AHEAD = [90.0, 0.0, 40.0, 120.0, 0.0, 30.0, 150.0]
SAME = {"fitness_ctl": "ctl_42d", "fatigue_atl": "atl_7d", "form_tsb": "tsb"} | {
    name: name for name in ("ramp_rate_7d", "acwr")
}


def features(spark: SparkSession, daily: pa.Table, start: tuple[date, float] | None = None) -> pa.Table:
    """ROLLING rows of all the days of the daily rows, from the features' own transform.

    start: the day and the fitness that the athlete states to start from."""
    stated = {"athlete_id": "a", "valid_from": midnight(start[0]), "starting_fitness": start[1]} if start else None
    athletes = frame(spark, rows(tables.STRAVA_ATHLETE, stated).to_pylist(), tables.STRAVA_ATHLETE) if stated else None
    on = [moment.date() for moment in daily["activity_date"].to_pylist()]
    none = no_rows(spark, tables.ACTIVITY), no_rows(spark, tables.ROLLING)
    return rolling_features(frame(spark, daily), *none, Days(min(on), max(on)), SETTINGS, athletes).toArrow()


def plan(spark: SparkSession, loads: Mapping[int, Any], **more: Any) -> Any:
    """Ann's plan: load by days ahead, or the columns of the row."""
    given = [
        {"load_tss": value} if not isinstance(value, dict) else {"load_tss": None, **value} for value in loads.values()
    ]
    on = [{"athlete_id": "a", "plan_date": midnight(TODAY + timedelta(days=ahead))} for ahead in loads]
    default = {"moving_time_min": None, "is_race": False}
    return frame(
        spark,
        rows(
            tables.ATHLETE_PLAN, *({**default, **day, **row, **more} for day, row in zip(on, given, strict=True))
        ).to_pylist(),
        tables.ATHLETE_PLAN,
    )


def projection(*inputs: Any) -> pd.DataFrame:
    return collected(projections(*inputs, SETTINGS)[tables.PROJECTION], tables.PROJECTION)


def projected(spark: SparkSession, daily: pa.Table, plans: Any) -> dict[str, pd.DataFrame]:
    """The rows by scenario."""
    found = projection(frame(spark, daily), frame(spark, features(spark, daily)), plans)
    return {str(name): rows.reset_index(drop=True) for name, rows in found.groupby("scenario")}


def room(spark: SparkSession, daily: pa.Table, plans: Any = None) -> dict[str, Any]:
    plans = no_rows(spark, tables.ATHLETE_PLAN) if plans is None else plans
    state = frame(spark, features(spark, daily))
    (found,) = projections(frame(spark, daily), state, plans, SETTINGS)[tables.LOAD_ROOM].toArrow().to_pylist()
    return found


def test_each_scenario_is_what_the_features_say_when_its_loads_come_true(spark: SparkSession) -> None:
    found = projected(spark, daily_table(LOADS), plan(spark, dict(enumerate(AHEAD, start=1))))
    assert {name: len(of) for name, of in found.items()} == {"rest": 14, "habit": 14, "plan": len(AHEAD)}
    assert found["plan"]["load_tss"].tolist() == AHEAD
    assert found["rest"]["load_tss"].tolist() == [0.0] * 14
    for scenario, rows_of in found.items():
        later = features(spark, daily_table([*LOADS, *rows_of["load_tss"]])).to_pandas().sort_values("as_of_date")
        later = later[later["as_of_date"] > midnight(TODAY)]
        assert rows_of["projected_date"].tolist() == later["as_of_date"].tolist()
        for ours, theirs in SAME.items():
            assert rows_of[ours].tolist() == pytest.approx(later[theirs].tolist(), rel=1e-9, abs=1e-9), scenario


@pytest.mark.parametrize(("days", "ago"), [(63, 3), (63, 0), (63, 6), (63, 7), (20, 19), (5, 4)])
def test_a_stated_start_counts_in_the_projection_as_in_the_features(sail: SparkSession, days: int, ago: int) -> None:
    """For a week the ramp is counted from what the athlete starts from; with it there is no warm-up."""
    daily = daily_table(LOADS[:days])
    start = day(days - 1 - ago), 70.0
    state = frame(sail, features(sail, daily, start))
    none = no_rows(sail, tables.ATHLETE_PLAN)
    found = projection(frame(sail, daily), state, none)
    found = found[found["scenario"] == "rest"]
    later = features(sail, daily_table([*LOADS[:days], *[0.0] * 14]), start).to_pandas().sort_values("as_of_date")
    for ours, theirs in SAME.items():
        expected = later[theirs].tolist()[-14:]
        assert found[ours].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), ours
    (room_now,) = projections(frame(sail, daily), state, none, SETTINGS)[tables.LOAD_ROOM].toArrow().to_pylist()
    if days < 43:
        assert room_now["room_unknown_reason"] is None
    more = [*LOADS[: days - 1], LOADS[days - 1] + room_now["room_by_ramp_tss"]]
    then = features(sail, daily_table(more), start).to_pandas().sort_values("as_of_date")
    if room_now["room_by_ramp_tss"]:
        assert then["ramp_rate_7d"].iloc[-1] == pytest.approx(8.0, rel=1e-9)


def test_a_habit_is_the_last_four_weeks_weekday_by_weekday(sail: SparkSession) -> None:
    """Four weeks of Monday 10, 20, 30, 40 and Sunday 100, before them nothing: 25 on Mondays, 100 on Sundays."""
    weeks = [[10.0 * week, 0, 0, 0, 0, 0, 100.0] for week in range(1, 5)]
    loads = [0.0] * 14 + [load for week in weeks for load in week]
    found = projected(sail, daily_table(loads), no_rows(sail, tables.ATHLETE_PLAN))
    assert found["habit"]["load_tss"].tolist() == [25.0, 0, 0, 0, 0, 0, 100.0] * 2


def test_a_young_calendar_gets_its_ratio_on_its_28th_day_and_a_week_makes_a_habit(sail: SparkSession) -> None:
    """Of 20 days: days 21 to 27 have no ratio yet. With 6 days there is no habit."""
    found = projected(sail, daily_table([50.0] * 20), no_rows(sail, tables.ATHLETE_PLAN))
    assert found["habit"]["acwr"].isna().tolist() == [True] * 7 + [False] * 7
    assert set(projected(sail, daily_table([50.0] * 6), no_rows(sail, tables.ATHLETE_PLAN))) == {"rest"}


def test_a_plan_in_minutes_weighs_as_minutes_do_and_ends_where_it_says_nothing(sail: SparkSession) -> None:
    """Each run weighs its load over 50 min. Day 2 has no row: rest. A race without load or time: nothing is said."""
    daily = daily_table([60.0] * 63)
    of = plan(sail, {1: {"moving_time_min": 40.0}, 3: 70.0, 4: {"is_race": True}, 6: 10.0})
    assert projected(sail, daily, of)["plan"]["load_tss"].tolist() == pytest.approx([48.0, 0.0, 70.0])
    unknown = daily_table([0.0] * 63)
    assert "plan" not in projected(sail, unknown, plan(sail, {1: {"moving_time_min": 40.0}}))


@pytest.mark.parametrize(
    ("loads", "limit"),
    [
        ([*LOADS[:-1], 20.0], "hardest_day"),
        ([20.0] * 60 + [200.0] + [20.0] * 30, "acwr"),
        ([100.0] * 80 + [500.0] + [100.0] * 19, "ramp"),
        ([20.0] * 56 + [0.0] * 7, "hardest_day"),
        ([100.0] * 100, "hardest_day"),
    ],
)
def test_the_room_of_today_leads_exactly_to_the_limit(sail: SparkSession, loads: Sequence[float], limit: str) -> None:
    found = room(sail, daily_table(loads))
    assert found["room_limited_by"] == limit
    assert found["load_today_tss"] == loads[-1]
    rooms = found["room_by_ramp_tss"], found["room_by_acwr_tss"], found["room_by_hardest_day_tss"]
    assert found["room_today_tss"] == min(rooms)
    for name, column, value in (("room_by_ramp_tss", "ramp_rate_7d", 8.0), ("room_by_acwr_tss", "acwr", 1.5)):
        then = features(sail, daily_table([*loads[:-1], loads[-1] + found[name]])).to_pandas()
        newest = then.loc[then["as_of_date"].idxmax()]
        assert newest[column] == pytest.approx(value, rel=1e-9)


def test_room_by_hand(sail: SparkSession) -> None:
    """After long steady 100 a day fitness, fatigue and that of a week ago are 100: the ramp takes 8 / (1 - e^(-1/42)).

    A minute weighs 2: 100 TSS in 50 min. What was done today (100) is taken off.
    """
    found = room(sail, daily_table([100.0] * 2000))
    assert found["room_by_ramp_tss"] == pytest.approx(8 / (1 - math.exp(-1 / 42)), rel=1e-9)
    assert found["load_per_min_tss"] == 2.0
    assert found["room_today_min"] == pytest.approx(found["room_today_tss"] / 2, rel=1e-12)
    assert found["habit_load_tss"] == 100.0


def test_no_day_is_to_be_far_beyond_the_hardest_of_six_weeks(sail: SparkSession) -> None:
    """A tenth more than 150, 40 done; a 400 that lies 43 days back no longer counts, and after a pause none does."""
    steady = [150.0, *[100.0] * 39, 0.0, 0.0]
    found = room(sail, daily_table([100.0] * 100 + [400.0] + steady + [40.0]))
    assert found["room_by_hardest_day_tss"] == pytest.approx(1.1 * 150 - 40)
    assert room(sail, daily_table([100.0] * 100 + [0.0] * 43))["room_by_hardest_day_tss"] is None


def test_a_day_that_went_beyond_has_no_room_and_a_warmup_has_none_to_tell(sail: SparkSession) -> None:
    assert room(sail, daily_table([50.0] * 60 + [900.0]))["room_today_tss"] == 0.0
    young = room(sail, daily_table([50.0] * 42))
    assert (young["room_today_tss"], young["room_limited_by"], young["room_unknown_reason"]) == (None, None, "warmup")
    assert room(sail, daily_table([50.0] * 43))["room_unknown_reason"] is None


def test_who_has_not_trained_for_two_years_gets_no_room_by_the_ramp_alone(sail: SparkSession) -> None:
    """50 a day decays below 0.01 in 42 ln(5000) = 358 days."""
    found = room(sail, daily_table([50.0] * 100 + [0.0] * 400))
    assert (found["room_today_tss"], found["room_by_ramp_tss"]) == (None, None)
    assert found["room_unknown_reason"] == "no_training"


def test_unknown_load_is_not_projected(sail: SparkSession) -> None:
    daily = daily_table([1.0] * 60, untracked_activities=[1] * 60, daily_tss=[0.0] * 60)
    assert projected(sail, daily, no_rows(sail, tables.ATHLETE_PLAN)) == {}
    found = room(sail, daily)
    assert (found["room_unknown_reason"], found["room_today_tss"], found["habit_load_tss"]) == (
        "unknown_load",
        None,
        None,
    )


def test_the_taper_leads_to_the_form_wanted_on_the_races_eve(sail: SparkSession) -> None:
    found = room(sail, daily_table(LOADS), plan(sail, {3: 50.0, 11: {"is_race": True}, 40: {"is_race": True}}))
    assert found["race_date"] == midnight(TODAY + timedelta(days=11))
    assert found["race_form_target_tsb"] == 10.0
    for load, form in ((found["taper_load_tss"], 10.0), (0.0, found["race_form_at_rest_tsb"])):
        eve = features(sail, daily_table([*LOADS, *[load] * 10])).to_pandas().sort_values("as_of_date").iloc[-1]
        assert eve["tsb"] == pytest.approx(form, rel=1e-9)


def test_no_day_is_left_to_taper_before_a_race_of_tomorrow(sail: SparkSession) -> None:
    found = room(sail, daily_table(LOADS), plan(sail, {1: {"is_race": True}}))
    assert found["race_date"] == midnight(TODAY + timedelta(days=1))
    assert found["taper_load_tss"] is None


def test_today_is_the_features_newest_day_west_of_greenwich_too(
    sail: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        assert room(sail, daily_table(LOADS))["as_of_date"] == midnight(TODAY)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_athletes_are_islands_and_an_empty_home_has_no_rows(spark: SparkSession) -> None:
    ann, bob = daily_table(LOADS), daily_table(LOADS[::-1][:50], first=day(13), athlete="b")
    both = pa.concat_tables([ann, bob])
    state = frame(spark, features(spark, both))
    plans = plan(spark, {1: 50.0})
    found = projection(frame(spark, both), state, plans)
    alone = projection(frame(spark, ann), state.where("athlete_id = 'a'"), plans)
    pd.testing.assert_frame_equal(found[found["athlete_id"] == "a"].reset_index(drop=True), alone, rtol=1e-12)
    assert set(found[found["athlete_id"] == "b"]["scenario"]) == {"rest", "habit"}
    nothing = no_rows(spark, tables.DAILY), no_rows(spark, tables.ROLLING), no_rows(spark, tables.ATHLETE_PLAN)
    assert projections(*nothing, SETTINGS)[tables.PROJECTION].count() == 0
    assert projections(*nothing, SETTINGS)[tables.LOAD_ROOM].count() == 0
