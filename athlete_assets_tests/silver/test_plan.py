"""An athlete's plan: a small file, read whole or not at all."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from athlete_assets import tables
from athlete_assets.days import midnight
from athlete_assets.errors import InputError
from athlete_assets.silver import plan, races
from athlete_assets.store.local import LocalStore


def given(folder: Path, text: str) -> Path:
    path = folder / "plan.csv"
    path.write_text(text)
    return path


def test_load_minutes_and_race_by_day_in_any_order_of_columns(tmp_path: Path) -> None:
    path = given(tmp_path, "Minutes;race;date;load\n;;2024-06-01;80,5\n45;false;2024-06-02;\n;true;2024-06-09;\n")
    found = plan.read_plan(path, "ann").drop_columns(tables.INGESTED).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("ann", midnight(date(2024, 6, 1)), 80.5, None, False),
        ("ann", midnight(date(2024, 6, 2)), None, 45.0, False),
        ("ann", midnight(date(2024, 6, 9)), None, None, True),
    ]


@pytest.mark.parametrize(
    ("text", "is_plan"),
    [
        ("date,load,race\n2024-05-01,80,\n", True),
        ("date,minutes\n2024-05-01,45\n", True),
        ("date;load\n2024-05-01;80\n2024-05-16;60\n", True),
        ("date,load\n2024-05-01,80\n2024-05-15,60\n", False),
        ("date,load,rpe\n2024-05-16,80,5\n", False),
        ("date,distance,time\n2024-05-05,10,41:30\n", False),
        ("athlete_id,date,load\na,2024-05-16,80\n", False),
    ],
    ids=["race", "minutes alone", "a day ahead", "days that were", "exertion", "races", "numbered"],
)
def test_a_plan_is_told_from_sessions_and_races(tmp_path: Path, text: str, is_plan: bool) -> None:
    path = given(tmp_path, text)
    assert plan.is_plan_file(path, date(2024, 5, 15)) is is_plan
    assert not (is_plan and races.is_races_file(path))
    assert not plan.is_plan_file(tmp_path, date(2024, 5, 15))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("day,tss\n2024-06-01,5\n", "a plan has the columns date, load (TSS) or minutes, and race; found day, tss"),
        ("date,load\n2024-06-01,5\n2024-06-01,7\n", "line 3, column date: 2024-06-01 stands there twice"),
        ("date,load\n2024-06-01,\n", "line 2, column date: 2024-06-01 has neither load nor minutes"),
        ("date,load\n,5\n", "line 2, column date: is empty"),
        ("date,load\n2024-06-01,-5\n", "line 2, column load: '-5' is not between 0 and 1000"),
        ("date,minutes\n2024-06-01,3000\n", "line 2, column minutes: '3000' is not between 0 and 2880"),
        ("date,load\n2024-06-01,easy\n", "line 2, column load: 'easy' is not a number"),
        ("date,load\n1 June,5\n", "line 2, column date: '1 June' is not a time"),
        ("date,load,race\n2024-06-01,5,maybe\n", "line 2, column race: 'maybe' is neither true nor false"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as raised:
        plan.read_plan(given(tmp_path, text), "ann")
    assert "plan.csv" in str(raised.value)
    assert says in str(raised.value)
    with pytest.raises(InputError, match="cannot be read"):
        plan.read_plan(tmp_path / "none.csv", "ann")


def test_a_plan_replaces_the_athletes_earlier_one_in_one_commit(store: LocalStore, tmp_path: Path) -> None:
    def write(athlete: str, text: str) -> None:
        plan.write_plan(store, athlete, plan.read_plan(given(tmp_path, text), athlete))

    def held() -> list[tuple[str, str, float]]:
        found = store.rows(tables.ATHLETE_PLAN).to_pylist()
        return sorted((row["athlete_id"], f"{row['plan_date']:%m-%d}", row["load_tss"]) for row in found)

    write("bob", "date,load\n2024-06-01,10\n")
    write("o'ann", "date,load\n2024-06-01,20\n2024-06-02,30\n")
    version = store.version(tables.ATHLETE_PLAN)
    write("o'ann", "date,load\n2024-06-02,30\n2024-06-01,20\n")
    assert store.version(tables.ATHLETE_PLAN) == version
    write("o'ann", "date,load\n2024-06-03,40\n")
    assert store.version(tables.ATHLETE_PLAN) == (version or 0) + 1
    assert held() == [("bob", "06-01", 10.0), ("o'ann", "06-03", 40.0)]
    write("o'ann", "date,load\n")
    assert held() == [("bob", "06-01", 10.0)]
