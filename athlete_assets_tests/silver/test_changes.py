"""Which days a change of silver touches, found from real Delta tables, and which days follow from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from athlete_assets import tables
from athlete_assets.days import Days, merged, midnight
from athlete_assets.orchestration.affected_days import affected_days
from athlete_assets.settings import Settings
from athlete_assets.silver import landing, plan
from athlete_assets.silver.changes import Position, Silver, Touched, bounded
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows
from athlete_assets_tests.silver.conftest import Reader

AS_OF = date(2024, 6, 30)
REACH = 365 + 2
"""Two days by which a duplicate may begin later, and hr_max_window_days."""


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings.model_copy(update={"start_date": date(2020, 1, 6), "as_of": AS_OF}))


@dataclass
class Silverware:
    activities: pa.Table
    splits: pa.Table
    athletes: pa.Table


@dataclass
class Recorded(Silverware):
    recordings: pa.Table
    best_efforts: pa.Table


def run(athlete: str, id: int, day: str, **values: Any) -> dict[str, Any]:
    local = datetime.fromisoformat(f"{day}T07:00")
    return {
        "athlete_id": athlete,
        "id": id,
        "start_date_local": local,
        "start_date": local.replace(tzinfo=timezone.utc),
        "sport_type": "Run",
        "distance": 5000.0,
        "moving_time": 1500.0,
        "elapsed_time": 1500.0,
        **values,
    }


def land(
    store: LocalStore, *activities: dict[str, Any], splits: Iterable[dict[str, Any]] = (), **athletes: Any
) -> None:
    landing.land(
        store,
        Silverware(
            rows(tables.STRAVA_ACTIVITIES, *activities),
            rows(tables.STRAVA_SUB_ACTIVITY, *splits),
            rows(tables.STRAVA_ATHLETE, *({"athlete_id": athlete, **values} for athlete, values in athletes.items())),
        ),
    )


@pytest.fixture
def silver(reader: Reader, store: LocalStore) -> Silver:
    return reader(store)


def positions(silver: Silver) -> dict[str, Position]:
    """Where the tables stand, with the ingestion time of the activities."""
    found = silver.positions()
    activities = found[tables.STRAVA_ACTIVITIES.name]
    ingested = silver.newest_ingestion(tables.STRAVA_ACTIVITIES)
    return {**found, tables.STRAVA_ACTIVITIES.name: Position(activities.id, activities.version, ingested)}


def touched_since(silver: Silver, before: dict[str, Position]) -> Touched:
    return silver.touched(before, silver.positions())


def days(touched: Touched) -> dict[str | None, list[str]]:
    return {athlete: sorted(map(str, found)) for athlete, found in touched.days.items()}


BEFORE = (run("a", 1, "2024-05-01"), run("a", 2, "2024-05-02"), run("b", 3, "2024-05-02"))


def test_new_late_changed_moved_and_deleted_rows_are_seen_on_their_days(store: LocalStore, silver: Silver) -> None:
    land(store, *BEFORE)
    before = positions(silver)
    land(store, run("a", 4, "2024-06-30"), run("b", 5, "2021-03-04"))  # new, and late for an old day
    land(store, run("a", 1, "2024-05-01", distance=5100.0))  # changed
    land(store, run("b", 3, "2024-05-20"))  # moved to another day
    landing.delete(store, "a", [2])
    touched = touched_since(silver, before)
    assert days(touched) == {
        "a": ["2024-05-01", "2024-05-02", "2024-06-30"],
        "b": ["2021-03-04", "2024-05-02", "2024-05-20"],
    }
    assert touched.notes == []
    told = {str(report.day): (report.rows_new, report.rows_gone) for report in touched.reports}
    assert told == {
        "2021-03-04": (1, 0),
        "2024-05-01": (1, 1),
        "2024-05-02": (0, 2),
        "2024-05-20": (1, 0),
        "2024-06-30": (1, 0),
    }
    assert all(report.newest_ingestion for report in touched.reports)


def test_what_was_there_before_or_comes_back_as_it_was_touches_nothing(store: LocalStore, silver: Silver) -> None:
    land(store, *BEFORE)
    before = positions(silver)
    land(store, *BEFORE)
    assert positions(silver) == before
    land(store, run("a", 9, "2024-06-01"))
    landing.delete(store, "a", [9])
    assert positions(silver) != before
    assert not touched_since(silver, before)


def test_rows_that_are_rewritten_with_a_new_ingestion_time_alone_touch_nothing(
    store: LocalStore, silver: Silver
) -> None:
    land(store, *BEFORE)
    before = positions(silver)
    path = str(store.path(tables.STRAVA_ACTIVITIES))
    again = rows(tables.STRAVA_ACTIVITIES, *BEFORE)
    at = again.schema.get_field_index("silver_ingestion_timestamp")
    again = again.set_column(at, again.schema.field(at), pa.array([midnight(AS_OF)] * 3, again.schema.field(at).type))
    write_deltalake(path, again, mode="overwrite")
    assert not touched_since(silver, before)


def test_maintenance_touches_nothing(store: LocalStore, silver: Silver) -> None:
    land(store, *BEFORE)
    land(store, run("c", 7, "2024-05-03"))
    before = positions(silver)
    compacted = store.delta(tables.STRAVA_ACTIVITIES).optimize.compact()
    assert compacted["numFilesRemoved"] >= 2
    store.delta(tables.STRAVA_ACTIVITIES).create_checkpoint()
    assert positions(silver) != before
    assert not touched_since(silver, before)


def test_changed_splits_touch_the_day_of_their_activity(store: LocalStore, silver: Silver) -> None:
    splits = [{"athlete_id": "a", "activity_id": 1, "split_id": n, "distance": 1000.0} for n in (1, 2)]
    land(store, *BEFORE, splits=splits)
    before = positions(silver)
    land(store, splits=[{**splits[0], "distance": 1001.0}])
    touched = touched_since(silver, before)
    assert days(touched) == {"a": ["2024-05-01"]}
    assert {report.table for report in touched.reports} == {tables.STRAVA_SUB_ACTIVITY}
    before = positions(silver)
    store.delta(tables.STRAVA_SUB_ACTIVITY).delete("split_id = 2")
    assert days(touched_since(silver, before)) == {"a": ["2024-05-01"]}


def test_a_recording_that_comes_later_or_changes_touches_the_day_of_its_activity(
    store: LocalStore, silver: Silver
) -> None:
    def recording(beats: float, digest: str = "x") -> None:
        key = {"athlete_id": "a", "activity_id": 2}
        seconds = [beats, *[0.0] * 200]
        landing.land(
            store,
            Recorded(
                rows(tables.STRAVA_ACTIVITIES),
                rows(tables.STRAVA_SUB_ACTIVITY),
                rows(tables.STRAVA_ATHLETE),
                rows(tables.STRAVA_RECORDING, {**key, "digest": digest, "seconds_by_bpm": seconds}),
                rows(tables.STRAVA_BEST_EFFORT, {**key, "kind": "1k", "distance": 1000.0, "elapsed_time": 300.0}),
            ),
        )

    land(store, *BEFORE)
    before = positions(silver)
    recording(60.0)
    touched = touched_since(silver, before)
    assert days(touched) == {"a": ["2024-05-02"]}
    assert {report.table for report in touched.reports} == set(tables.OPTIONAL)
    before = positions(silver)
    recording(60.0)
    assert not touched_since(silver, before)
    recording(61.0)
    touched = touched_since(silver, before)
    assert days(touched) == {"a": ["2024-05-02"]}
    assert {report.table for report in touched.reports} == {tables.STRAVA_RECORDING}


def test_an_athlete_who_states_something_else_is_seen(store: LocalStore, silver: Silver) -> None:
    always = {"valid_from": None}
    land(store, *BEFORE, a={"max_hr_bpm": 180.0, **always}, b={"max_hr_bpm": 190.0, **always})
    before = positions(silver)
    land(store, a={"max_hr_bpm": 185.0, **always})
    touched = touched_since(silver, before)
    assert (touched.restated, touched.days) == ({"a": None}, {})


def test_a_dated_statement_counts_from_its_day(store: LocalStore, silver: Silver) -> None:
    land(store, *BEFORE, a={"max_hr_bpm": 180.0, "valid_from": midnight(date(2024, 5, 1))})
    before = positions(silver)
    land(store, a={"max_hr_bpm": 185.0, "valid_from": midnight(date(2024, 5, 20))})
    land(store, a={"max_hr_bpm": 184.0, "valid_from": midnight(date(2024, 5, 9))})
    assert touched_since(silver, before).restated == {"a": date(2024, 5, 9)}


def test_a_key_that_silver_holds_twice_touches_both_days(store: LocalStore, silver: Silver) -> None:
    """Of two rows with one key the earlier day's is used: without it the later one counts."""
    again = (run("a", 1, "2024-05-09"), run("a", 7, "2024-05-10"))
    write_deltalake(str(store.path(tables.STRAVA_ACTIVITIES)), rows(tables.STRAVA_ACTIVITIES, *BEFORE, *again))
    before = positions(silver)
    store.delta(tables.STRAVA_ACTIVITIES).delete("start_date_local < '2024-05-02'")
    assert days(touched_since(silver, before)) == {"a": ["2024-05-01", "2024-05-09"]}


def test_rows_outside_the_calendar_are_counted(store: LocalStore, silver: Silver) -> None:
    land(store, *BEFORE)
    before = positions(silver)
    land(store, *BEFORE, run("a", 8, "2019-12-31"), run("a", 9, "2024-05-03", start_date_local=None))
    touched = touched_since(silver, before)
    assert (touched.outside, touched.days) == (2, {})


def without_change_feed(store: LocalStore) -> None:
    """An upstream table as others keep it: the rows of BEFORE, the last one ingested a day later; no change feed."""
    given = (*BEFORE[:2], {**BEFORE[2], "silver_ingestion_timestamp": midnight(date(2024, 5, 16))})
    write_deltalake(str(store.path(tables.STRAVA_ACTIVITIES)), rows(tables.STRAVA_ACTIVITIES, *given))


def test_without_a_change_feed_the_two_versions_are_compared(store: LocalStore, silver: Silver) -> None:
    without_change_feed(store)
    before = positions(silver)
    kept = (run("a", 1, "2024-05-01", distance=5100.0), run("b", 3, "2024-05-20"), run("b", 5, "2021-03-04"))
    write_deltalake(str(store.path(tables.STRAVA_ACTIVITIES)), rows(tables.STRAVA_ACTIVITIES, *kept), mode="overwrite")
    assert days(touched_since(silver, before)) == {
        "a": ["2024-05-01", "2024-05-02"],
        "b": ["2021-03-04", "2024-05-02", "2024-05-20"],
    }


def test_without_the_old_version_the_newly_ingested_and_what_only_the_features_know_are_found(
    store: LocalStore,
    silver: Silver,
) -> None:
    without_change_feed(store)
    known = [
        {"athlete_id": of, "activity_id": id, "activity_date": midnight(date.fromisoformat(day))}
        for of, id, day in (("a", 1, "2024-05-01"), ("a", 2, "2024-05-02"), ("b", 3, "2024-05-02"))
    ]
    store.replace_arrow(tables.ACTIVITY, rows(tables.ACTIVITY, *known))
    before = positions(silver)
    later = midnight(AS_OF)
    kept = (run("a", 1, "2024-05-01"), run("b", 3, "2024-05-20", silver_ingestion_timestamp=later))
    delta = DeltaTable(str(store.path(tables.STRAVA_ACTIVITIES)))
    write_deltalake(delta, rows(tables.STRAVA_ACTIVITIES, *kept), mode="overwrite")
    delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    touched = touched_since(silver, before)
    assert days(touched) == {"a": ["2024-05-02"], "b": ["2024-05-02", "2024-05-20"]}
    assert len(touched.notes) == 1


def test_a_table_made_anew_is_compared_with_what_the_features_know(store: LocalStore, silver: Silver) -> None:
    without_change_feed(store)
    before = positions(silver)
    other = {tables.STRAVA_ACTIVITIES.name: Position("another table", 99, None)}
    assert set(days(touched_since(silver, {**before, **other}))) == {"a", "b"}


def test_one_look_reads_a_bounded_number_of_commits(store: LocalStore) -> None:
    before = {"t": Position("x", 3)}
    assert bounded(before, {"t": Position("x", 2000)}) == {"t": Position("x", 503)}
    assert bounded(before, {"t": Position("x", 400)}) == {"t": Position("x", 400)}
    assert bounded(before, {"t": Position("y", 2000)}) == {"t": Position("y", 2000)}


# --------------------------------------------------------------------------------------------------- what follows


def affected(store: LocalStore, touched: dict[str, list[str]], known: dict[str, list[str]], **more: Any) -> list[str]:
    found = Touched({athlete: {date.fromisoformat(day) for day in on} for athlete, on in touched.items()}, **more)
    days_known = {athlete: [date.fromisoformat(day) for day in on] for athlete, on in known.items()}
    by_athlete = affected_days(found, lambda athletes: days_known, store.settings)
    return [str(window) for window in merged(window for windows in by_athlete.values() for window in windows)]


def test_a_row_of_today_affects_today_alone(store: LocalStore) -> None:
    assert affected(store, {"a": ["2024-06-30"]}, {"a": ["2021-01-01"]}) == ["2024-06-30"]


def test_a_late_row_affects_the_days_whose_thresholds_look_back_to_it(store: LocalStore) -> None:
    last = date(2021, 3, 4) + timedelta(days=REACH)
    assert affected(store, {"a": ["2021-03-04"]}, {"a": ["2021-01-01"]}) == [f"2021-03-04..{last}"]


def test_a_late_row_before_the_first_activity_affects_all_days_up_to_that(store: LocalStore) -> None:
    assert affected(store, {"a": ["2020-03-04"]}, {"a": ["2023-08-01"]}) == ["2020-03-04..2023-08-01"]


def test_a_deleted_first_activity_affects_all_days_up_to_the_first_that_stays(store: LocalStore) -> None:
    gone_are_still_known = {"a": ["2020-03-04", "2020-03-20", "2022-08-01", "2023-08-01"]}
    found = affected(store, {"a": ["2020-03-04", "2020-03-20"]}, gone_are_still_known)
    assert found == ["2020-03-04..2022-08-01"]


def test_an_athlete_who_is_deleted_whole_leaves_every_day_since_the_first(store: LocalStore) -> None:
    assert affected(store, {"a": ["2020-03-04"]}, {"a": ["2020-03-04"]}) == [f"2020-03-04..{AS_OF}"]


def test_changed_statements_affect_all_of_the_athletes_days(store: LocalStore) -> None:
    known = {"a": ["2022-02-02", "2023-03-03"]}
    assert affected(store, {}, known, restated={"a": None}) == [f"2022-02-02..{AS_OF}"]
    assert affected(store, {}, {}, restated={"a": None}) == []


def test_a_dated_statement_affects_the_days_from_its_own_on(store: LocalStore) -> None:
    known = {"a": ["2022-02-02", "2023-03-03"]}
    assert affected(store, {}, known, restated={"a": date(2024, 1, 2)}) == [f"2024-01-02..{AS_OF}"]
    assert affected(store, {}, known, restated={"a": date(2021, 1, 2)}) == [f"2022-02-02..{AS_OF}"]
    assert affected(store, {}, known, restated={"a": date(2025, 1, 2)}) == []
    # of an athlete who has a late row, too
    late = {"a": ["2023-03-03"]}
    assert affected(store, late, known, restated={"a": date(2025, 1, 2)}) == affected(store, late, known)


def test_windows_stay_inside_the_calendar_and_are_joined(store: LocalStore) -> None:
    found = affected(store, {"a": ["2020-01-06", "2020-06-01"], "b": ["2024-01-01"]}, {"a": ["2019-01-01"]})
    assert found == ["2020-01-06..2021-06-03", f"2024-01-01..{AS_OF}"]


def test_rows_outside_the_calendar_alone_need_any_days_run(store: LocalStore) -> None:
    assert affected(store, {}, {}, outside=3) == [str(AS_OF)]


def test_known_days_come_from_activity_features(store: LocalStore, silver: Silver) -> None:
    given = [("a", 1, date(2024, 5, 2)), ("a", 2, date(2024, 5, 1)), ("aa", 3, date(2024, 5, 3)), ("b", 4, AS_OF)]
    known = [{"athlete_id": of, "activity_id": id, "activity_date": midnight(day)} for of, id, day in given]
    store.replace_arrow(tables.ACTIVITY, rows(tables.ACTIVITY, *known))
    assert silver.known_days(["b", "a"]) == {"a": [date(2024, 5, 1), date(2024, 5, 2)], "b": [AS_OF]}
    assert silver.known_days([]) == {}
    assert Days(date(2024, 5, 1), date(2024, 5, 2))


def test_a_changed_plan_touches_its_athlete_and_no_day(store: LocalStore, silver: Silver) -> None:
    def write(athlete: str, load: float) -> None:
        row = {"athlete_id": athlete, "plan_date": midnight(AS_OF), "load_tss": load}
        plan.write_plan(store, athlete, rows(tables.ATHLETE_PLAN, row))

    land(store, *BEFORE)
    before = positions(silver)
    write("a", 50.0)
    touched = touched_since(silver, before)
    assert (touched.planned, touched.days, touched.restated) == ({"a"}, {}, {})
    before = positions(silver)
    write("a", 60.0)
    write("b", 60.0)
    assert touched_since(silver, before).planned == {"a", "b"}
    before = positions(silver)
    write("a", 60.0)
    assert not touched_since(silver, before)
