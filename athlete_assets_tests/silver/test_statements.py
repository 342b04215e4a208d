"""What an athlete states: understood or refused, valid from its day, kept by every later import."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from athlete_assets import cli, tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.silver.imports import read_runs
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.silver.statements import STATEMENTS, athlete_of, state, stated, withdraw
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.rows import activity, arrow
from athlete_assets_tests.silver.test_landing import Rows

ATHLETES = tables.STRAVA_ATHLETE


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    """A home of one athlete, 'a', whose log begins on 2024-03-04."""
    store = LocalStore(settings.model_copy(update={"as_of": date(2024, 6, 30)}))
    landing.land(store, Rows(arrow([activity(), activity("2024-03-06 07:00:00", id=2)])))
    return store


def said(store: LocalStore) -> list[tuple[str, str, str]]:
    return [(one.name, one.value, one.since) for one in stated(store, "a")]


def rows(store: LocalStore) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if value is not None} for row in store.rows(ATHLETES).to_pylist()
    ]


def test_statements_hold_from_their_days(store: LocalStore) -> None:
    assert state(store, "a", ["max-hr=185", "sex=f"]) is None
    words = ["max-hr=187", "resting-hr=48", "threshold-pace=4:25", "birth-year=1985", "from=2024-05-01"]
    assert state(store, "a", words) == date(2024, 5, 1)
    assert said(store) == [
        ("max-hr", "187 bpm", "from 2024-05-01"),
        ("max-hr", "185 bpm", "for all days"),
        ("resting-hr", "48 bpm", "from 2024-05-01"),
        ("threshold-pace", "4:25 min/km", "from 2024-05-01"),
        ("birth-year", "1985", "from 2024-05-01"),
        ("sex", "F", "for all days"),
    ]
    dated = next(row for row in rows(store) if "valid_from" in row)
    assert dated["threshold_pace_min_km"] == pytest.approx(4 + 25 / 60)
    assert (dated["max_hr_bpm"], dated["birth_year"], dated["source"]) == (187.0, 1985, "athlete")


def test_stating_again_changes_that_day_alone_and_the_same_again_changes_nothing(store: LocalStore) -> None:
    state(store, "a", ["max-hr=185", "ftp=250W", "from=2024-04-01"])
    state(store, "a", ["max-hr=186", "from=2024-04-01"])
    state(store, "a", ["max-hr=190"])
    assert said(store) == [
        ("max-hr", "186 bpm", "from 2024-04-01"),
        ("max-hr", "190 bpm", "for all days"),
        ("ftp", "250 W", "from 2024-04-01"),
    ]
    version = store.version(ATHLETES)
    state(store, "a", ["max-hr=190"])
    assert (len(rows(store)), store.version(ATHLETES)) == (2, version)


@pytest.mark.parametrize(
    ("word", "column", "value"),
    [
        ("threshold-pace=4:45", "threshold_pace_min_km", 4.75),
        ("threshold-pace=7:07/mi", "threshold_pace_min_km", (7 + 7 / 60) / 1.609344),
        ("threshold_pace=5:00/km", "threshold_pace_min_km", 5.0),
        ("max-hr=187bpm", "max_hr_bpm", 187.0),
        ("sex=Female", "sex", "F"),
        ("sex=Männlich", "sex", "M"),
        ("load=heart-rate", "load_preference", "heart_rate"),
        ("zones=120,140,155,170", "zone_4_from_bpm", 155.0),
        ("zones=max-hr", "zone_method", "max_hr"),
    ],
)
def test_values_are_understood_as_people_write_them(store: LocalStore, word: str, column: str, value: Any) -> None:
    state(store, "a", [word])
    (row,) = rows(store)
    assert row[column] == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("max-hr=18", "100 to 230 bpm"),
        ("max-hr=1e2", "100 to 230"),
        ("max-hr=", "100 to 230"),
        ("resting-hr=187", "25 to 110"),
        ("threshold-pace=4.45", "minutes and seconds"),
        ("threshold-pace=4:75", "minutes and seconds"),
        ("threshold-pace=445", "minutes and seconds"),
        ("threshold-pace=0:45", "2:00 to 15:00"),
        ("birth-year=85", "a year from"),
        ("birth-year=2023", "a year from"),
        ("sex=x", "F or M"),
        ("ftp=2500", "50 to 600"),
        ("zones=170,155,140,120", "zones 2 to 5 begin"),
        ("zones=120,140,155", "zones 2 to 5 begin"),
        ("load=power", "pace or heart-rate"),
        ("mx-hr=187", "did you mean max-hr"),
        ("hr=187", "There are: max-hr"),
        ("187", "no name=value"),
        ("max-hr=187 max-hr=188", "twice"),
        ("from=2024-05-01", "set what"),
        ("max-hr=187 from=01.05.2024", "yyyy-mm-dd"),
        ("max-hr=187 from=2024-02-30", "no day"),
        ("max-hr=187 from=2026-01-01", "future"),
        ("max-hr=110 resting-hr=110", "not below"),
        ("threshold-hr=190 max-hr=187", "not below"),
        ("zones=reserve", "resting-hr"),
        ("zones=threshold-hr resting-hr=48", "threshold-hr"),
        ("", "set what"),
    ],
)
def test_what_nobody_can_mean_is_refused_and_nothing_is_stored(store: LocalStore, words: str, names: str) -> None:
    with pytest.raises(InputError, match=names):
        state(store, "a", words.split())
    assert rows(store) == []


def test_what_contradicts_an_earlier_or_a_later_statement_is_refused(store: LocalStore) -> None:
    state(store, "a", ["max-hr=187"])
    state(store, "a", ["resting-hr=105", "from=2024-05-01"])
    with pytest.raises(InputError, match=r"resting-hr=105 is not below threshold-hr=100 on 2024-05-01"):
        state(store, "a", ["threshold-hr=100", "from=2024-04-01"])
    state(store, "a", ["threshold-hr=165", "from=2024-04-01"])


def test_an_unknown_athlete_is_refused_with_the_nearest_id(store: LocalStore) -> None:
    assert athlete_of(store, None) == "a"
    with pytest.raises(InputError, match=r"no athlete 'b'.*nearest ids: a"):
        athlete_of(store, "b")
    landing.land(store, Rows(arrow([activity(athlete_id="b", id=7)])))
    with pytest.raises(InputError, match="2 athletes"):
        athlete_of(store, None)


def test_a_start_holds_from_the_logs_first_day_where_no_other_is_given(store: LocalStore) -> None:
    assert state(store, "a", ["starting-fitness=55", "starting-fatigue=60"]) == date(2024, 3, 4)
    assert said(store) == [("starting-fitness", "55", "from 2024-03-04"), ("starting-fatigue", "60", "from 2024-03-04")]


def test_a_statement_is_taken_back(store: LocalStore) -> None:
    state(store, "a", ["max-hr=185"])
    state(store, "a", ["max-hr=187", "ftp=250", "from=2024-05-01"])
    with pytest.raises(InputError, match="no resting-hr"):
        withdraw(store, "a", ["resting-hr"])
    assert withdraw(store, "a", ["max-hr", "from=2024-05-01"]) == date(2024, 5, 1)
    assert said(store) == [("max-hr", "185 bpm", "for all days"), ("ftp", "250 W", "from 2024-05-01")]
    assert withdraw(store, "a", ["max-hr"]) is None


def test_zones_of_another_method_leave_no_bounds_behind(store: LocalStore) -> None:
    state(store, "a", ["zones=120,140,155,170"])
    state(store, "a", ["zones=max-hr"])
    assert said(store) == [("zones", "max-hr", "for all days")]


def test_no_import_of_statements_replaces_the_athletes_own(store: LocalStore, tmp_path: Path) -> None:
    """The same file before and after: what was said here stays, and what the file says is still one row."""
    file = tmp_path / "athletes.csv"
    file.write_text("athlete_id,max_hr_bpm,valid_from\na,180,\na,182,2024-05-01\n")
    landing.land(store, read_runs(file, store.settings))
    state(store, "a", ["max-hr=187"])
    landing.land(store, read_runs(file, store.settings))
    assert [(one.value, one.since, one.is_own) for one in stated(store, "a")] == [
        ("182 bpm", "from 2024-05-01", False),
        ("187 bpm", "for all days", True),
        ("180 bpm", "for all days", False),
    ]
    file.write_text("athlete_id,max_hr_bpm\na,181\n")
    landing.land(store, read_runs(file, store.settings))
    assert [one.value for one in stated(store, "a")] == ["182 bpm", "187 bpm", "181 bpm"]


def test_a_home_of_undated_statements_goes_on(store: LocalStore) -> None:
    """Made before statements had days: its rows hold for all days, and get new ones beside them."""
    from deltalake import write_deltalake

    old = store.rows(ATHLETES).schema.empty_table().select(["athlete_id", "max_hr_bpm"])
    old = type(old).from_pylist([{"athlete_id": "a", "max_hr_bpm": 180.0}], old.schema)
    write_deltalake(str(store.path(ATHLETES)), old, mode="overwrite", schema_mode="overwrite")
    state(store, "a", ["max-hr=187", "from=2024-05-01"])
    assert said(store) == [("max-hr", "187 bpm", "from 2024-05-01"), ("max-hr", "180 bpm", "for all days")]


def test_the_sensor_hears_from_which_day_a_statement_holds(store: LocalStore) -> None:
    silver = LocalSilver(store)
    before = silver.positions()
    state(store, "a", ["max-hr=187", "from=2024-05-01"])
    touched = silver.touched(before, silver.positions())
    assert (touched.restated, touched.days) == ({"a": date(2024, 5, 1)}, {})
    before = silver.positions()
    state(store, "a", ["max-hr=190"])
    assert silver.touched(before, silver.positions()).restated == {"a": None}


def test_the_command_says_what_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("ATHLETE_HOME", str(home))
    landing.land(LocalStore(Settings(home=home)), Rows(arrow([activity(), activity(athlete_id="b", id=3)])))
    assert cli.main(["athlete", "a", "set", "max-hr=187", "threshold-pace=4:45", "from=2024-05-01"]) == 0
    out = capsys.readouterr().out
    assert "on 2024-05-01 and later" in out
    assert "max-hr           187 bpm        from 2024-05-01" in out
    assert "4:45 min/km" in out
    assert cli.main(["athlete", "a"]) == 0
    assert "187 bpm" in capsys.readouterr().out
    for words in (["set", "max-hr=187"], ["c"], ["a", "set", "max-hr=18"], ["max-hr=187"], ["a", "b"]):
        assert cli.main(["athlete", *words]) == 2
        assert capsys.readouterr().err.startswith("athlete-assets: ")
    assert set(STATEMENTS) <= {name.strip() for name in _help(capsys).replace(",", " ").replace("(", " ").split()}


def _help(capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["athlete", "--help"]) == 0
    return capsys.readouterr().out


def test_the_first_day_is_a_local_one(store: LocalStore) -> None:
    landing.land(store, Rows(arrow([activity("2024-03-02 00:30:00", utc_offset_h=10, id=9)])))
    assert state(store, "a", ["starting-fitness=40"]) == date(2024, 3, 2)
