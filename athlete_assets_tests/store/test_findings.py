"""What the contract says of rows is the same as they are written, as they are stored, and as a frame."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from athlete_assets import tables
from athlete_assets.assets import builder
from athlete_assets.days import Days, midnight
from athlete_assets.errors import ContractError
from athlete_assets.store import findings
from athlete_assets.store.athletes import Athletes, AthleteSpan
from athlete_assets.store.base import Written
from athlete_assets.store.findings import Findings, findings_in, findings_of, findings_of_frame, repeated_keys
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table
from athlete_assets_tests import rows as made
from athlete_assets_tests.store.rows import daily, rejects, span

JANUARY, FEBRUARY = span("2024-01-01", "2024-01-31"), span("2024-02-01", "2024-02-29")


def bad() -> pa.Table:
    """Four days of which one stands there twice, one is below 0 km, and one holds NaN; February's is good."""
    first, second, third = (date(2024, 1, day) for day in (1, 2, 3))
    return pa.concat_tables(
        [
            daily("a", [first, first]),
            daily("a", [second], -1.0),
            daily("a", [third], math.nan),
            daily("a", [date(2024, 2, 1)]),
        ]
    )


def counted(found: Findings) -> tuple[int, int, dict[str, int], dict[str, int]]:
    nulls, outside = ({name: count for name, count in of.items() if count} for of in (found.nulls, found.outside))
    return found.rows, found.repeated_keys, nulls, outside


def test_each_way_of_looking_finds_the_same(store: LocalStore, sail: SparkSession) -> None:
    rows = bad()
    wanted = (5, 1, {}, {"distance_km": 2})
    assert counted(findings_of(rows, tables.DAILY)) == wanted
    assert counted(findings_in(rows.to_batches(max_chunksize=2), tables.DAILY)) == wanted
    assert counted(findings_of_frame(sail.createDataFrame(rows), tables.DAILY)) == wanted
    store.create(tables.DAILY)
    store.folder(tables.DAILY).append(rows)
    assert counted(store.findings(tables.DAILY)) == wanted
    assert store.findings(tables.DAILY, JANUARY).rows == store.count(tables.DAILY, JANUARY) == 4
    assert counted(store.findings(tables.DAILY, FEBRUARY)) == (1, 0, {}, {})


def test_a_null_in_a_required_column_is_found() -> None:
    rows = daily("a", JANUARY).to_pylist()
    rows[3]["activities"] = None
    nulls = pa.Table.from_pylist(rows, daily("a", []).schema)
    assert counted(findings_of(nulls, tables.DAILY))[2] == {"activities": 1}


def test_a_table_that_is_not_there_has_no_findings(store: LocalStore) -> None:
    assert counted(store.findings(tables.DAILY)) == (0, 0, {}, {})
    assert store.count(tables.DAILY, JANUARY) == 0


def activity(days: list[date], number: int) -> pa.Table:
    return made.rows(
        tables.ACTIVITY,
        *(
            {"athlete_id": "a", "activity_id": number, "activity_date": midnight(day), "month": f"{day:%Y-%m}"}
            for day in days
        ),
    )


def outcomes(store: LocalStore, table: Table, days: Days, written: list[Written]) -> dict[str, bool]:
    result = builder.materialize_result(store, table, days, written=written)
    return {str(check.check_name): bool(check.passed) for check in result.check_results or []}


def test_a_key_that_stands_in_two_windows_is_found_though_each_commit_was_good(store: LocalStore) -> None:
    """An activity's key does not tell its day, so the commits' findings do not add up to the window's."""
    first = store.replace_arrow(tables.ACTIVITY, activity([date(2024, 1, 5)], 1), JANUARY)
    second = store.replace_arrow(tables.ACTIVITY, activity([date(2024, 2, 5)], 1), FEBRUARY)
    both = Days(JANUARY.first, FEBRUARY.last)
    assert not outcomes(store, tables.ACTIVITY, both, [first, second])["keys"]
    assert outcomes(store, tables.ACTIVITY, FEBRUARY, [second])["keys"]


def test_keys_of_different_athletes_are_not_read_back(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(athletes: Athletes, name: str, days: Days) -> Written:
        rows = activity([days.first], 1)
        ids = rows.schema.get_field_index("athlete_id")
        rows = rows.set_column(ids, rows.schema.field(ids), pa.array([name]))
        return store.of(athletes).replace_arrow(tables.ACTIVITY, rows, days)

    both, few, more = Days(JANUARY.first, FEBRUARY.last), AthleteSpan(None, "b"), AthleteSpan("b", None)
    commits = [written(few, "a", JANUARY), written(more, "b", JANUARY)]
    again = written(few, "a", FEBRUARY)
    assert not outcomes(store, tables.ACTIVITY, both, [*commits, again])["keys"]

    monkeypatch.setattr(LocalStore, "repeated_keys", lambda *_: pytest.fail("the keys are read back"))
    assert outcomes(store, tables.ACTIVITY, JANUARY, commits)["keys"]


def test_where_another_number_of_rows_is_stored_the_stored_ones_are_judged(store: LocalStore) -> None:
    written = store.replace_arrow(tables.DAILY, daily("a", JANUARY), JANUARY)
    assert all(outcomes(store, tables.DAILY, JANUARY, [written]).values())
    store.folder(tables.DAILY).append(daily("a", [date(2024, 1, 5)], -1.0))
    found = outcomes(store, tables.DAILY, JANUARY, [written])
    assert (found["schema"], found["keys"], found["ranges"]) == (True, False, False)
    assert outcomes(store, tables.DAILY, JANUARY, []) == found  # a run of checks alone


def test_rejects_outside_the_calendar_are_in_no_window(store: LocalStore) -> None:
    written = store.replace_arrow(
        tables.REJECTS, rejects([(1, date(2024, 1, 5), "duplicate"), (2, None, "missing_date")]), JANUARY
    )
    result = builder.materialize_result(store, tables.REJECTS, JANUARY, written=[written])
    assert result.metadata is not None
    assert result.metadata["rows_in_window"] == 1


@pytest.mark.parametrize("wrong", ["repeats", "month"])
def test_the_refusals_stay_as_they_were(store: LocalStore, wrong: str) -> None:
    rows = daily("a", JANUARY)
    if wrong == "repeats":
        rows = pa.concat_tables([rows, rows.slice(0, 1)])
    else:
        at = rows.schema.get_field_index("month")
        rows = rows.set_column(at, rows.schema.field(at), pa.array(["2024-02"] * rows.num_rows))
    with pytest.raises(ContractError, match="1 row repeats the key" if wrong == "repeats" else "outside the window"):
        store.replace_arrow(tables.DAILY, rows, JANUARY)
    assert not store.exists(tables.DAILY)


def test_findings_of_nothing_known_stay_unknown() -> None:
    known = Written(1, 1, findings=findings_of(daily("a", [date(2024, 1, 1)]), tables.DAILY))
    assert (known + known).findings == replace(known.findings + known.findings, rows=2)  # type: ignore[operator,type-var]
    assert (known + Written(1, 1)).findings is None


@given(
    keys=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.integers(-1, 1),
            st.sampled_from([date(1970, 1, 1), date(2024, 1, 5), None]),
        ),
        max_size=30,
    )
)
def test_rows_beyond_the_first_of_a_key_are_counted(
    keys: list[tuple[str | None, int, date | None]],
) -> None:
    columns = list(zip(*keys, strict=True)) or [[], [], []]
    rows = pa.table(
        [pa.array(columns[0], pa.string()), pa.array(columns[1], pa.int64()), pa.array(columns[2], pa.date32())],
        names=["name", "number", "day"],
    )
    assert repeated_keys(rows, ["name", "number", "day"]) == len(keys) - len(set(keys))
    assert repeated_keys(rows, ["day"]) == len(keys) - len({day for _, _, day in keys})
    assert repeated_keys(rows, []) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.lists(st.one_of(st.integers(-3, 3), st.none()), max_size=4),
            st.booleans(),
        ),
        max_size=4,
    )
)
@example([("a", [1, 2], True), ("b", [1], True), ("a", [2], True)])
@example([("a", [2, 3], True), ("a", [1, 2], True)])
def test_keys_that_stand_in_order_are_counted_as_any_others(
    runs: list[tuple[str | None, list[int | None], bool]],
) -> None:
    """Athletes one after the other, each one's days mostly in order: as features are made, and nearly so."""
    keys = [
        (name, day)
        for name, days, is_sorted in runs
        for day in (sorted(days, key=lambda day: (day is None, day or 0)) if is_sorted else days)
    ]
    names, numbers = zip(*keys, strict=True) if keys else ((), ())
    days = pa.array(numbers, pa.int64()).cast(pa.timestamp("us", "UTC"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "ROWS_A_RUN", 0)  # short runs, too
        for values in (pa.array(numbers, pa.int64()), days):
            rows = pa.table({"name": pa.array(names, pa.string()), "day": values})
            assert repeated_keys(rows, ["name", "day"]) == len(keys) - len(set(keys))
