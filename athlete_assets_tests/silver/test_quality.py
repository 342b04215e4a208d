"""Each silver activity is accepted, or rejected with the names of all rules that it broke."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from athlete_assets import tables
from athlete_assets.days import Days, midnight
from athlete_assets.settings import Settings
from athlete_assets.silver import quality
from athlete_assets.silver.quality import Limits, in_window, judged, needed_to_judge, rejects
from athlete_assets.silver.sports import ANY_SPORT, family, strava_sport
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.rows import frame
from athlete_assets_tests.silver.rows import REAL_RUNS_AS_OF, activity, arrow, real_runs

SETTINGS = Settings(start_date=date(2010, 1, 4), as_of=date(2024, 12, 31))
LIMITS = Limits.of(SETTINGS)
NAN, INFINITY = float("nan"), float("inf")
HIKE = {"sport_type": "Hike", "distance": 20_000.0, "moving_time": 18_000.0}


def verdicts(*rows: dict[str, Any], settings: Settings = SETTINGS) -> list[dict[str, Any]]:
    return judged(arrow(rows), Limits.of(settings)).to_pylist()


def reasons(*rows: dict[str, Any]) -> list[list[str]]:
    return [row["reject_reasons"] for row in verdicts(*rows)]


def rejected_ids(*rows: dict[str, Any]) -> list[int]:
    """Ids of the duplicates; every other row must be accepted. The same for any order of the rows."""
    found = []
    for seed in range(4):
        shuffled = list(rows)
        random.Random(seed).shuffle(shuffled)
        judgement = verdicts(*shuffled)
        assert all(row["reject_reasons"] in ([], ["duplicate"]) for row in judgement)
        found.append(sorted(row["id"] for row in judgement if row["reject_reasons"]))
    assert found.count(found[0]) == len(found), f"depends on the order of the rows: {found}"
    return found[0]


# ---------------------------------------------------------------------------------------- what one row breaks alone


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, []),
        ({"athlete_id": None}, ["missing_key"]),
        ({"athlete_id": "  "}, ["missing_key"]),
        ({"id": None}, ["missing_key"]),
        ({"start_date_local": None}, ["missing_date"]),
        ({"start_date_local": datetime(1999, 12, 31, 23, 59, 59)}, ["date_before_2000", "before_start_date"]),
        ({"start_date_local": datetime(1969, 12, 31, 23)}, ["date_before_2000", "before_start_date"]),
        ({"start_date_local": datetime(2000, 1, 1)}, ["before_start_date"]),
        ({"start_date_local": datetime(2010, 1, 3, 23, 59, 59)}, ["before_start_date"]),
        ({"start_date_local": datetime(2010, 1, 4)}, []),
        ({"start_date_local": datetime(2024, 12, 31, 23, 59, 59)}, []),
        ({"start_date_local": datetime(2025, 1, 1)}, ["future_date"]),
        ({"moving_time": None, "elapsed_time": None}, ["missing_duration"]),
        ({"moving_time": NAN, "elapsed_time": INFINITY}, ["missing_duration"]),
        ({"moving_time": None}, []),
        ({"moving_time": -6_147.0}, ["non_positive_duration"]),
        ({"moving_time": 0.0, "elapsed_time": 0.0}, ["non_positive_duration"]),
        ({"moving_time": 0.0, "elapsed_time": None}, ["non_positive_duration"]),
        ({"moving_time": None, "elapsed_time": -1.0}, ["non_positive_duration"]),
        ({"moving_time": 76e6}, ["implausible_duration"]),
        ({"moving_time": 48 * 3600.0}, []),
        ({"moving_time": 48 * 3600.0 + 1}, ["implausible_duration"]),
        ({"distance": 0.0}, ["non_positive_distance"]),
        ({"distance": -3.0, "sport_type": "trail_running"}, ["non_positive_distance"]),
        ({"distance": 0.0, "sport_type": "Walk"}, []),
        ({"distance": -3.0, "sport_type": "Walk"}, ["non_positive_distance"]),
        ({"distance": None}, []),
        ({"distance": NAN}, []),
        ({"distance": 7_500.0, "moving_time": 1_000.0}, []),
        ({"distance": 7_501.0, "moving_time": 1_000.0}, ["implausible_speed"]),
        ({"distance": 7_501.0, "moving_time": 1_000.0, "sport_type": "running"}, ["implausible_speed"]),
        ({"distance": 7_501.0, "moving_time": 1_000.0, "sport_type": "Ride"}, []),
        ({"distance": 999.0, "moving_time": 100.0}, []),
        ({"distance": 1_000.0, "moving_time": 100.0}, ["implausible_speed"]),
        ({"distance": 1_630_000.0, "moving_time": 200_000.0}, ["implausible_duration", "implausible_speed"]),
        (
            {"athlete_id": None, "start_date_local": None, "moving_time": -1.0, "distance": 0.0},
            ["missing_key", "missing_date", "non_positive_duration", "non_positive_distance"],
        ),
    ],
)
def test_a_row_is_rejected_with_every_rule_that_it_breaks(changes: dict[str, Any], broken: list[str]) -> None:
    assert reasons(activity(**changes)) == [broken]
    assert [name for name in quality.RULES if name in broken] == broken, "in the order of RULES"


def test_the_first_day_and_the_limits_are_settings() -> None:
    strict = Settings(start_date=date(2024, 3, 11), max_run_speed_mps=3.0, max_duration_h=0.5)
    assert verdicts(activity(), settings=strict)[0]["reject_reasons"] == [
        "before_start_date",
        "implausible_duration",
        "implausible_speed",
    ]


def test_the_day_is_that_of_the_athletes_clock_and_null_outside_the_calendar() -> None:
    late = activity("2024-03-04 23:30:00", utc_offset_h=-8)
    old = activity("2009-03-04 12:00:00", id=2)
    future = activity("2025-03-04 12:00:00", id=3)
    assert [row["activity_date"] for row in verdicts(late, old, future)] == [midnight(date(2024, 3, 4)), None, None]


@pytest.mark.parametrize(
    ("heart_rate", "cleaned"),
    [(0.0, None), (29.9, None), (30.0, 30.0), (230.0, 230.0), (230.1, None), (NAN, None), (None, None), (150.0, 150.0)],
)
def test_a_heart_rate_that_no_heart_beats_becomes_null_and_rejects_nothing(
    heart_rate: float | None, cleaned: float | None
) -> None:
    (row,) = verdicts(activity(average_heartrate=heart_rate, max_heartrate=heart_rate))
    assert (row["average_heartrate"], row["max_heartrate"], row["reject_reasons"]) == (cleaned, cleaned, [])


@pytest.mark.parametrize(
    ("found", "sport"),
    [
        *[(spelling, "Run") for spelling in ("Run", "running", "RUNNING", "track_running", "street_running")],
        *[(spelling, "TrailRun") for spelling in ("TrailRun", "trail_running", "Trail Run", " Trail Running ")],
        *[(spelling, "VirtualRun") for spelling in ("VirtualRun", "virtual_run", "Virtual Run")],
        *[(spelling, "Walk") for spelling in ("Walk", "walking")],
        *[(spelling, "Hike") for spelling in ("Hike", "Hiking", "hiking")],
        *[(spelling, "Ride") for spelling in ("Ride", "cycling")],
        *[(spelling, "Workout") for spelling in ("generic", "other", "Workout", "multi_sport")],
        ("rowing_v2", "Rowing"),
        ("resort_skiing", "AlpineSki"),
        ("Quidditch", "Quidditch"),
        ("", None),
        (None, None),
    ],
)
def test_each_sport_has_one_spelling(found: str | None, sport: str | None) -> None:
    assert strava_sport(found) == sport
    assert [row["sport_type"] for row in verdicts(activity(sport_type=found, distance=None))] == [sport]


# ------------------------------------------------------------------------------------------------------ duplicates


@pytest.mark.parametrize(
    ("second", "is_duplicate"),
    [
        ({"start": "2024-03-04 18:00:00"}, True),
        ({"start": "2024-03-04 18:01:00"}, True),
        ({"start": "2024-03-04 18:20:00"}, True),  # they overlap
        ({"start": "2024-03-04 18:50:00"}, False),  # the first had ended
        ({"start": "2024-03-04 18:00:05", "distance": 9_000.0}, True),
        ({"start": "2024-03-04 18:00:05", "distance": 8_999.0}, False),
        ({"start": "2024-03-04 18:00:05", "distance": 11_111.0}, True),
        ({"start": "2024-03-04 18:00:05", "distance": 11_112.0}, False),
        ({"start": "2024-03-04 18:00:05", "distance": None}, False),
        ({"start": "2024-03-04 18:00:05", "athlete_id": "b"}, False),
        ({"start": "2024-03-04 18:00:05", "sport_type": "generic"}, True),
        ({"start": "2024-03-04 18:20:00", "sport_type": "generic"}, True),
        ({"start": "2024-03-04 18:20:00", "sport_type": "TrailRun"}, True),
        ({"start": "2024-03-04 18:00:05", "sport_type": "Ride"}, True),  # as services disagree about real runs
        ({"start": "2024-03-04 18:20:00", "sport_type": "Ride"}, False),
    ],
)
def test_two_records_are_one_activity_when_they_share_time_and_distance(
    second: dict[str, Any], is_duplicate: bool
) -> None:
    assert len(rejected_ids(activity(), activity(id=2, **second))) == is_duplicate


def test_repetitions_uploaded_one_by_one_are_not_duplicates() -> None:
    repetitions = [
        activity(f"2024-03-04 18:00:{second:02}", id=second, distance=100.0, moving_time=14.0, elapsed_time=14.0)
        for second in (0, 15, 30, 45)
    ]
    assert rejected_ids(*repetitions) == []


def test_without_distances_durations_are_compared() -> None:
    yoga = {"sport_type": "Yoga", "distance": None}
    assert rejected_ids(activity(**yoga), activity(id=2, **yoga)) == [2]
    assert rejected_ids(activity(**yoga), activity(id=2, **{**yoga, "distance": 0.0})) == [2]
    assert rejected_ids(activity(**yoga), activity(id=2, **yoga, moving_time=1_800.0)) == []


def test_the_record_that_tells_more_stays() -> None:
    plain = activity(id=1)
    assert rejected_ids(plain, activity(id=2, average_heartrate=150.0)) == [1]
    assert rejected_ids(plain, activity(id=2, total_elevation_gain=80.0)) == [1]
    assert rejected_ids(plain, activity(id=2, distance=10_010.0)) == [1]
    assert rejected_ids(plain, activity(id=2)) == [2]
    assert rejected_ids(plain, activity(id=2, total_elevation_gain=0.0)) == [2], "0 is written for unknown"
    assert rejected_ids(plain, activity(id=2, average_heartrate=0.0)) == [2], "0 is written for none"
    assert rejected_ids(
        activity(id=1, average_heartrate=150.0), activity(id=2, total_elevation_gain=80.0, distance=10_100.0)
    ) == [2], "heart rate comes before elevation and distance"
    assert rejected_ids(activity(id=1, sport_type="generic", average_heartrate=150.0), activity(id=2)) == [1], (
        "a run kept as a generic workout would have no pace"
    )


def test_a_rejected_row_makes_no_other_row_a_duplicate() -> None:
    too_fast = activity(id=1, distance=30_000.0, average_heartrate=150.0)
    assert reasons(too_fast, activity(id=2, distance=29_000.0, sport_type="Ride")) == [["implausible_speed"], []]


def test_a_chain_loses_only_what_a_kept_record_duplicates() -> None:
    """1 and 2 overlap, 2 and 3 overlap, 1 and 3 do not: with 2 gone both ends stay, with 2 best both go."""
    ends = activity("2024-03-04 08:00:00", id=1, **HIKE), activity("2024-03-04 16:00:00", id=3, **HIKE)
    middle = activity("2024-03-04 12:00:00", id=2, **HIKE)
    assert rejected_ids(*ends, middle) == [2]
    assert rejected_ids(*ends, {**middle, "average_heartrate": 120.0}) == [1, 3]


def test_across_midnight_the_earlier_day_stays_whatever_the_later_record_tells() -> None:
    evening = activity("2024-03-04 23:59:50", id=9)
    after_midnight = activity("2024-03-05 00:00:10", id=1, average_heartrate=150.0, total_elevation_gain=50.0)
    assert rejected_ids(evening, after_midnight) == [1]


def test_a_chain_across_several_midnights_rests_on_no_more_than_two_days() -> None:
    """Each record of this chain overlaps the next. The second day's goes; the third's stays: 1 had ended before it."""
    chain = [
        activity(f"2024-03-0{day} 12:00:00", id=day, **{**HIKE, "moving_time": 26 * 3600.0, "distance": 1e5})
        for day in (1, 2, 3, 4)
    ]
    assert rejected_ids(*chain) == [2]


def test_one_clock_is_read_for_both_records() -> None:
    new_york = activity("2024-03-04 18:00:00", utc_offset_h=-5)
    wrong_local = activity("2024-03-04 23:00:20", id=2, utc_offset_h=0)
    assert rejected_ids(new_york, wrong_local) == [2], "one moment on two clocks"
    assert rejected_ids(new_york, activity("2024-03-04 18:00:20", id=2, utc_offset_h=0)) == [], "five hours apart"
    without_utc = {**activity("2024-03-04 18:00:20", id=2), "start_date": None}
    assert rejected_ids(new_york, without_utc) == [2], "the athlete's clock where one has no UTC start"


def test_a_start_date_that_is_a_date_upstream_is_not_taken_for_an_hour() -> None:
    date_only = {"start_date": datetime(2024, 3, 4, tzinfo=timezone.utc)}
    morning, evening = (
        {**activity(f"2024-03-04 {hour}:00:00", id=number), **date_only} for number, hour in ((1, "07"), (2, "18"))
    )
    assert rejected_ids(morning, evening) == []
    assert rejected_ids(morning, {**activity("2024-03-04 07:00:30", id=2), **date_only}) == [2]


def test_of_a_key_held_twice_the_newest_ingestion_stays_and_the_earlier_day_across_days() -> None:
    first = activity(silver_ingestion_timestamp=datetime(2024, 3, 5, tzinfo=timezone.utc), average_heartrate=150.0)
    newer = activity(silver_ingestion_timestamp=datetime(2024, 3, 6, tzinfo=timezone.utc), distance=5_000.0)
    never = activity(silver_ingestion_timestamp=None, average_heartrate=150.0)
    later_day = activity("2024-04-04 18:00:00", silver_ingestion_timestamp=datetime(2024, 5, 6, tzinfo=timezone.utc))
    for seed in range(6):
        rows = [first, newer, never, later_day]
        random.Random(seed).shuffle(rows)
        (kept,) = [row for row in verdicts(*rows) if not row["reject_reasons"]]
        assert kept["distance"] == 5_000.0


def test_of_rows_that_are_equal_in_everything_one_stays() -> None:
    assert Counter(map(tuple, reasons(activity(), activity(), activity()))) == {(): 1, ("duplicate",): 2}


# -------------------------------------------------------------------------------------------------------- promises

starts = st.builds(
    lambda day, second: (datetime(2024, 3, 4) + timedelta(days=day, seconds=second)).isoformat(sep=" "),
    st.integers(0, 5),
    st.one_of(st.sampled_from([0, 20, 50, 43_200, 86_340, 86_390]), st.integers(0, 86_399)),
)
crowded_activities = st.fixed_dictionaries(
    {
        "athlete_id": st.sampled_from(["a", "a", "b", None]),
        "id": st.integers(1, 12),
        "start": starts,
        "utc_offset_h": st.sampled_from([0, 0, -8]),
        "has_utc": st.sampled_from([True, True, False]),
        "sport_type": st.sampled_from(["Run", "Run", "generic", "Ride", "hiking", None]),
        "distance": st.sampled_from([100_000.0, 95_000.0, 87_000.0, None, 0.0]),
        "moving_time": st.sampled_from([15_000.0, 90_000.0, 170_000.0, 30.0, -5.0, None]),
        "average_heartrate": st.sampled_from([None, 0.0, 150.0]),
        "ingested": st.integers(0, 2),
    }
)


def crowded(drawn: dict[str, Any]) -> dict[str, Any]:
    """A row of a crowded week: hour- and day-long activities that overlap in chains across midnights."""
    changes = {k: v for k, v in drawn.items() if k not in ("start", "utc_offset_h", "has_utc", "ingested")}
    row = activity(drawn["start"], utc_offset_h=drawn["utc_offset_h"], **changes, elapsed_time=drawn["moving_time"])
    row["silver_ingestion_timestamp"] = datetime(2024, 4, 1, tzinfo=timezone.utc) + timedelta(days=drawn["ingested"])
    return row if drawn["has_utc"] else {**row, "start_date": None}


weeks = st.lists(crowded_activities.map(crowded), max_size=40)


def has_hour(row: dict[str, Any]) -> bool:
    return row["start_date"] is not None and row["start_date"].time() != time(0)


def one_activity(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """The definition in the module's docstring, for two classified rows."""
    clock = "start_date" if has_hour(a) and has_hour(b) else "start_date_local"
    gap = abs((a[clock] - b[clock]).total_seconds())
    seconds = [row["moving_time"] for row in sorted((a, b), key=lambda row: row[clock])]
    metres = [row["distance"] or None for row in (a, b)]
    if metres == [None, None]:
        metres = seconds
    kinds = {family(a["sport_type"]), family(b["sport_type"])}
    return (
        a["athlete_id"] == b["athlete_id"]
        and min(seconds[0] - gap, seconds[1]) > 1
        and None not in metres
        and abs(metres[0] - metres[1]) <= 0.1 * max(metres)
        and (gap <= 60 or len(kinds) == 1 or ANY_SPORT in kinds)
        and abs(a["activity_date"] - b["activity_date"]) <= timedelta(days=1)
    )


def told(rows: pa.Table) -> list[str]:
    return sorted(map(repr, rows.to_pylist()))


@given(weeks, st.randoms(use_true_random=False))
@examples(max_examples=80, deadline=None)
def test_verdicts_do_not_depend_on_the_order_of_rows(rows: list[dict[str, Any]], shuffler: random.Random) -> None:
    expected = told(judged(arrow(rows), LIMITS))
    shuffler.shuffle(rows)
    assert told(judged(arrow(rows), LIMITS)) == expected


@given(weeks)
@examples(max_examples=80, deadline=None)
def test_only_what_a_kept_record_duplicates_is_dropped_and_a_day_keeps_no_activity_twice(
    rows: list[dict[str, Any]],
) -> None:
    judgement = verdicts(*rows)
    assert len(judgement) == len(rows)
    kept = [row for row in judgement if not row["reject_reasons"]]
    sound = [row for row in judgement if row["reject_reasons"] in ([], ["duplicate"])]
    for row in (row for row in sound if row["reject_reasons"]):
        same_key = [other for other in sound if other is not row and key(other) == key(row)]
        assert same_key or any(one_activity(row, other) for other in kept)
    for n, row in enumerate(kept):
        for other in kept[:n]:
            assert key(row) != key(other)
            assert row["activity_date"] != other["activity_date"] or not one_activity(row, other)


@given(weeks)
@examples(max_examples=50, deadline=None)
def test_later_days_change_no_verdict(rows: list[dict[str, Any]]) -> None:
    """Promise 1: the verdicts on a day are a function of the silver rows up to that day."""
    everything = judged(arrow(rows), LIMITS)
    for day in range(6):
        until = datetime(2024, 3, 4) + timedelta(days=day + 1)
        before = judged(arrow(row for row in rows if row["start_date_local"] < until), LIMITS)
        assert told(before) == told(everything.filter(pc.field("start_date_local") < pa.scalar(until)))


def key(row: dict[str, Any]) -> tuple[str, int]:
    return row["athlete_id"], row["id"]


def judged_in(silver: DataFrame, days: Days, settings: Settings = SETTINGS) -> pa.Table:
    """The verdicts on the days, and on what lies outside the calendar, of the silver rows that they rest on."""
    judgement = judged(needed_to_judge(silver, days, settings).toArrow(), Limits.of(settings))
    outside = judgement.filter(pc.field("activity_date").is_null())
    return pa.concat_tables([window_of(judgement, days), outside])


def accepted_and_rejected(silver: DataFrame, days: Days, settings: Settings = SETTINGS) -> tuple[pa.Table, pa.Table]:
    """The accepted rows of the days, and the REJECTS rows."""
    judgement = judged(needed_to_judge(silver, days, settings).toArrow(), Limits.of(settings))
    is_good = pc.equal(pc.list_value_length(judgement["reject_reasons"]), 0)
    numbers = ((day - date(1970, 1, 1)).days for day in (days.first, days.last))
    return window_of(judgement.filter(is_good), days), rejects(judgement, *numbers)


def window_of(table: pa.Table, days: Days) -> pa.Table:
    first, last = (pa.scalar(midnight(day), pa.timestamp("us", "UTC")) for day in (days.first, days.last))
    return table.filter((pc.field("activity_date") >= first) & (pc.field("activity_date") <= last))


def test_a_day_is_judged_without_the_files_of_earlier_ones(tmp_path: Path) -> None:
    """The file of all earlier days is gone from the disk: whoever opened it would fail."""
    store = LocalStore(SETTINGS.model_copy(update={"home": tmp_path}))
    store.create(tables.STRAVA_ACTIVITIES)
    folder = store.folder(tables.STRAVA_ACTIVITIES)
    folder.append(arrow([activity(f"2024-02-{day:02d} 08:00:00", id=day) for day in range(1, 20)]))
    [history] = tmp_path.rglob("*.parquet")
    folder.append(arrow([activity(f"2024-03-{day:02d} 08:00:00", id=100 + day) for day in range(8, 11)]))
    history.unlink()
    day = Days(date(2024, 3, 10), date(2024, 3, 10))
    silver = store.read(tables.STRAVA_ACTIVITIES)
    assert judged_in(silver, day)["id"].to_pylist() == [110]
    assert quality.on_days(silver, day).count() == 1
    with pytest.raises(Exception, match=r"(?i)not found|no such file"):
        judged_in(silver, Days(date(2024, 2, 19), date(2024, 3, 10)))


@given(rows=weeks, first=st.integers(0, 6), length=st.integers(0, 3))
@examples(max_examples=12, deadline=None)
def test_a_window_gets_the_verdicts_of_the_whole(
    sail: SparkSession, rows: list[dict[str, Any]], first: int, length: int
) -> None:
    days = Days(date(2024, 3, 4) + timedelta(days=first), date(2024, 3, 4) + timedelta(days=first + length))
    silver = frame(sail, arrow(rows), tables.STRAVA_ACTIVITIES)
    window = judged_in(silver, days)
    whole = judged(arrow(rows), LIMITS)
    assert told(window) == told(window_of(whole, days))
    assert window.num_rows == in_window(silver, days, SETTINGS).count()


@given(rows=weeks)
@examples(max_examples=8, deadline=None)
def test_accepted_and_rejected_add_up_to_what_was_read(sail: SparkSession, rows: list[dict[str, Any]]) -> None:
    outside = [
        activity(id=90, start_date_local=None),
        activity("1970-01-01 12:00:00", id=91, athlete_id=None),
        activity("2034-01-01 12:00:00", id=92),
    ]
    silver = frame(sail, arrow([*rows, *outside]), tables.STRAVA_ACTIVITIES)
    days = Days(date(2024, 3, 4), date(2024, 3, 10))
    good, bad = accepted_and_rejected(silver, days)
    assert good.num_rows + bad.num_rows == len(rows) + len(outside)
    assert bad.column_names == list(tables.REJECTS.column_names)
    months = {row["id"]: row["month"] for row in bad.to_pylist()}
    assert {months[90], months[91], months[92]} == {"none"}
    assert {month for number, month in months.items() if number < 90} <= {"2024-03"}


def test_a_rejected_row_comes_with_its_own_day_only(sail: SparkSession) -> None:
    silver = frame(
        sail,
        arrow(
            [
                activity("2024-03-04 12:00:00", id=1, moving_time=-1.0),
                activity("2024-03-05 12:00:00", id=2, moving_time=-1.0),
                activity("2024-03-05 12:00:00", id=3),
                activity("2024-03-05 12:00:00", id=4, start_date_local=None),
            ]
        ),
        tables.STRAVA_ACTIVITIES,
    )
    monday, tuesday = (Days(date(2024, 3, day), date(2024, 3, day)) for day in (4, 5))
    found = {days: sorted(accepted_and_rejected(silver, days)[1]["id"].to_pylist()) for days in (monday, tuesday)}
    assert found == {monday: [1, 4], tuesday: [2, 4]}


def test_an_earlier_day_with_the_same_key_is_found_however_long_ago(spark: SparkSession) -> None:
    silver = frame(
        spark, arrow([activity("2019-03-04 12:00:00"), activity("2024-03-04 12:00:00")]), tables.STRAVA_ACTIVITIES
    )
    days = Days(date(2024, 3, 4), date(2024, 3, 5))
    (row,) = judged_in(silver, days).to_pylist()
    assert (row["activity_date"].year, row["reject_reasons"]) == (2024, ["duplicate"])


def test_no_rows_have_no_verdicts(spark: SparkSession) -> None:
    silver = frame(spark, arrow([]), tables.STRAVA_ACTIVITIES)
    days = Days(date(2024, 3, 4), date(2024, 3, 4))
    good, bad = accepted_and_rejected(silver, days)
    assert (good.num_rows, bad.num_rows) == (0, 0)
    assert bad.column_names == list(tables.REJECTS.column_names)


# ------------------------------------------------------------------------------------------------------- real runs


@pytest.fixture(scope="module")
def shared_runs() -> pa.Table:
    return real_runs(shared_file("data/real_runs.parquet"))


def test_real_runs_are_accepted_or_rejected_by_name(spark: SparkSession, shared_runs: pa.Table) -> None:
    """On both engines alike, and 2-5 % of them twice: one athlete's from two sources (his 1,544 hold 600 pairs)."""
    settings = Settings(as_of=REAL_RUNS_AS_OF)
    days = Days(settings.start_date, settings.today)
    good, bad = accepted_and_rejected(frame(spark, shared_runs, tables.STRAVA_ACTIVITIES), days, settings)
    assert good.num_rows + bad.num_rows == shared_runs.num_rows == 22_265
    named = Counter(name for names in bad["reject_reasons"].to_pylist() for name in names)
    assert set(named) == {"non_positive_duration", "non_positive_distance", "implausible_speed", "duplicate"}
    assert 0.02 < named["duplicate"] / 22_265 < 0.05
    expected = judged(shared_runs, Limits.of(settings))
    is_good = pc.equal(pc.list_value_length(expected["reject_reasons"]), 0)
    assert told(good) == told(expected.filter(is_good))
    assert told(bad.drop(["month"])) == told(expected.filter(pc.invert(is_good)))


def test_real_runs_hold_no_activity_twice_when_judged_day_by_day(sail: SparkSession, shared_runs: pa.Table) -> None:
    settings = Settings(as_of=REAL_RUNS_AS_OF)
    whole = judged(shared_runs, Limits.of(settings))
    silver = frame(sail, shared_runs, tables.STRAVA_ACTIVITIES)
    for day in (date(2019, 5, 1), date(2024, 3, 9), date(2025, 8, 30)):
        days = Days(day, day + timedelta(days=6))
        window = judged_in(silver, days, settings)
        assert told(window) == told(window_of(whole, days))


# --------------------------------------------------------------------------------------- moving time that cannot be


@pytest.mark.parametrize("moving", [0.0, -6_147.0, 76e6, 6_001.0, 1.0], ids=str)
def test_an_absurd_moving_time_is_unknown_where_elapsed_time_is_sane(moving: float) -> None:
    """10 km that took 3,000 s from start to end."""
    (row,) = verdicts(activity(moving_time=moving, elapsed_time=3_000.0))
    assert (row["moving_time"], row["elapsed_time"], row["reject_reasons"]) == (None, 3_000.0, [])


@pytest.mark.parametrize(
    ("moving", "elapsed"), [(3_000.0, 2_900.0), (3_000.0, 1_500.0), (1_400.0, 9_000.0), (3_000.0, None)]
)
def test_a_moving_time_that_can_be_stays(moving: float, elapsed: float | None) -> None:
    (row,) = verdicts(activity(moving_time=moving, elapsed_time=elapsed))
    assert (row["moving_time"], row["reject_reasons"]) == (moving, [])


@pytest.mark.parametrize("elapsed", [76e6, 0.0, -3_000.0], ids=str)
def test_an_absurd_elapsed_time_is_unknown_where_moving_time_is_sane(elapsed: float) -> None:
    (row,) = verdicts(activity(moving_time=3_000.0, elapsed_time=elapsed))
    assert (row["moving_time"], row["elapsed_time"], row["reject_reasons"]) == (3_000.0, None, [])


@pytest.mark.parametrize(("exertion", "kept"), [(1.0, 1.0), (10.0, 10.0), (0.0, None), (11.0, None), (None, None)])
def test_an_exertion_is_one_to_ten(exertion: float | None, kept: float | None) -> None:
    assert verdicts(activity(perceived_exertion=exertion))[0]["perceived_exertion"] == kept


# --------------------------------------------------------------------------------------------- shifted copies, parts

EXACT = {"distance": 10_012.7, "moving_time": 2_987.0, "elapsed_time": 3_011.0}


def kept(*rows: dict[str, Any]) -> list[int]:
    """Ids of the rows that are no duplicates."""
    found = verdicts(*rows)
    assert all(row["reject_reasons"] in ([], ["duplicate"]) for row in found)
    return sorted(row["id"] for row in found if not row["reject_reasons"])


@pytest.mark.parametrize("hours", [6, -6, 1, 12, 5.75, 11.5, 23])
@pytest.mark.parametrize("beats", [151.3, None])
def test_a_copy_that_is_shifted_by_whole_zones_is_a_duplicate(hours: float, beats: float | None) -> None:
    start = datetime(2024, 3, 4, 12)
    run = activity(str(start), **EXACT, average_heartrate=beats)
    copy = activity(str(start + timedelta(hours=hours)), id=2, **EXACT, average_heartrate=beats)
    days = {start.date(): 1, (start + timedelta(hours=hours)).date(): 2}
    expected = 1 if len(days) == 1 else days[min(days)]  # of two days the earlier one stays
    assert kept(run, copy) == [expected]


@pytest.mark.parametrize(
    ("later", "changes"),
    [
        (timedelta(hours=6, minutes=7), {}),  # no zone is off by that
        (timedelta(hours=30), {}),
        (timedelta(hours=6), {"moving_time": 2_988.0}),
        (timedelta(hours=6), {"average_heartrate": 151.4}),
        (timedelta(hours=6), {"athlete_id": "b"}),
        (timedelta(hours=24), {}),
        (timedelta(hours=12), {"distance": 5_000.0, "moving_time": 1_800.0, "average_heartrate": 150.0}),
    ],
    ids=["7 minutes more", "30 hours", "time", "heart rate", "another athlete", "every day", "a routine"],
)
def test_what_only_resembles_a_shifted_copy_stays(later: timedelta, changes: dict[str, Any]) -> None:
    start = datetime(2024, 3, 4, 7)
    first = {**EXACT, "average_heartrate": 151.3}
    if "distance" in changes:
        first |= changes
    run = activity(str(start), **first)
    assert kept(run, activity(str(start + later), **{**first, "id": 2, **changes})) == [1, 2]


@pytest.mark.parametrize("lacking", ["average_heartrate", "elapsed_time"])
def test_a_shifted_copy_may_lack_what_the_other_service_did_not_write(lacking: str) -> None:
    run = {**EXACT, "average_heartrate": 151.3}
    copy = activity("2024-03-04 12:00:00", **{**run, "id": 2, lacking: None})
    assert kept(activity("2024-03-04 07:00:00", **run), copy) == [1]


def part(start: str, number: int, km: float, minutes: float, **changes: Any) -> dict[str, Any]:
    seconds = minutes * 60
    return activity(
        f"2024-03-04 {start}:00",
        **{"id": number, "distance": km * 1000, "moving_time": seconds, "elapsed_time": seconds, **changes},
    )


def test_parts_and_their_whole_count_once() -> None:
    """10 km from 6:00 to 6:51, uploaded whole, and as two halves with a minute between them."""
    halves = part("06:00", 1, 5, 25), part("06:26", 2, 5, 25)
    whole = part("06:00", 3, 10, 51, moving_time=3_000.0)
    assert kept(*halves, whole) == [3]
    assert kept(whole, *halves) == [3]
    thirds = [part("06:00", 11, 3, 15), part("06:17", 12, 3.4, 17), part("06:35", 13, 3.5, 16)]
    assert kept(*thirds, whole) == [3]
    assert kept(*halves) == [1, 2]


def test_parts_that_tell_more_stay() -> None:
    halves = [part("06:00", n, 5, 25, average_heartrate=150.0) for n in (1,)]
    halves.append(part("06:26", 2, 5, 25, average_heartrate=160.0))
    assert kept(*halves, part("06:00", 3, 10, 51)) == [1, 2]
    assert kept(*halves, part("06:00", 3, 10, 51, average_heartrate=155.0)) == [3]


def test_the_legs_of_a_triathlon_stay_and_its_whole_is_a_duplicate() -> None:
    legs = [
        part("07:00", 1, 1.5, 30, sport_type="Swim"),
        part("07:33", 2, 40, 70, sport_type="Ride"),
        part("08:45", 3, 10, 45, sport_type="Run"),
    ]
    assert kept(*legs, part("07:00", 4, 51.5, 151, sport_type="multisport")) == [1, 2, 3]
    change = part("07:30", 5, 0.3, 3, sport_type="transition")
    assert kept(*legs, change, part("07:00", 4, 51.8, 151, sport_type="Triathlon")) == [1, 2, 3, 5]


def test_runs_of_a_day_that_no_whole_holds_stay() -> None:
    runs = [part("06:00", 1, 5, 25), part("12:00", 2, 5, 25), part("18:00", 3, 10, 51)]
    assert kept(*runs) == [1, 2, 3]
    ride = part("06:00", 4, 10, 60, sport_type="Ride")  # another sport's time is no run's whole
    assert kept(part("06:05", 5, 5, 20), part("06:30", 6, 5, 20), ride) == [4, 5, 6]
