"""The load or exertion of single sessions, as an athlete tells of them: found or entered, and kept by every import."""

from __future__ import annotations

from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from athlete_assets import commands, tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver import import_log, landing
from athlete_assets.silver.readers.protocol import number_of_name
from athlete_assets.silver.sessions import is_sessions_file, read_sessions, session_of_words
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.exports import RUN, export
from athlete_assets_tests.silver.rows import activity, arrow
from athlete_assets_tests.silver.test_landing import Rows

TODAY = date(2024, 6, 30)
EASY = activity("2024-05-05 18:30:00", id=7, moving_time=3_000.0, elapsed_time=3_050.0)
GYM = activity("2024-05-05 07:00:00", id=6, sport_type="WeightTraining", distance=0.0, moving_time=2_400.0)


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings.model_copy(update={"as_of": TODAY}))


def runs(*given: dict[str, Any]) -> Rows:
    return Rows(arrow(given))


def say(store: LocalStore, words: str) -> tuple[str, bool]:
    ((_, which, is_entered),) = landing.land_sessions(store, "a", [session_of_words(words.split(), TODAY)])
    return which, is_entered


def held(store: LocalStore) -> dict[int, tuple[float | None, float | None]]:
    """Load and exertion by activity."""
    rows = store.rows(tables.STRAVA_ACTIVITIES).to_pylist()
    return {row["id"]: (row["own_load"], row["perceived_exertion"]) for row in rows}


def test_a_session_is_found_by_what_is_said_and_keeps_its_load_whatever_is_imported(store: LocalStore) -> None:
    landing.land(store, runs(EASY, GYM))
    assert say(store, "2024-05-05 load=85 sport=run") == ("18:30 Run 50 min", False)
    assert say(store, "2024-05-05 rpe=7 minutes=42") == ("07:00 WeightTraining 40 min", False)
    told = {7: (85.0, None), 6: (None, 7.0)}
    assert held(store) == told
    version = store.version(tables.STRAVA_ACTIVITIES)
    landing.land(store, runs(EASY, GYM))
    assert store.version(tables.STRAVA_ACTIVITIES) == version
    landing.land(
        store, runs({**EASY, "own_load": 20.0, "average_heartrate": 150.0}, {**GYM, "perceived_exertion": 3.0})
    )
    assert held(store) == told
    assert say(store, "2024-05-05 at=18:30 rpe=5")[0] == "18:30 Run 50 min"
    assert held(store) == {**told, 7: (85.0, 5.0)}


def test_a_copy_by_another_service_has_the_load_too_and_a_part_of_it_has_not(store: LocalStore) -> None:
    """Whichever copy the quality rules keep."""
    landing.land(store, runs(EASY))
    say(store, "2024-05-05 load=85")
    copy = {
        **EASY,
        "id": 3,
        "start_date_local": EASY["start_date_local"].replace(second=20),
        "average_heartrate": 150.0,
    }
    part = {**EASY, "id": 4, "moving_time": 1_500.0, "elapsed_time": 1_500.0}
    landing.land(store, runs(copy, part))
    assert held(store) == {7: (85.0, None), 3: (85.0, None), 4: (None, None)}
    say(store, "2024-05-05 load=90 minutes=50")
    assert held(store) == {7: (90.0, None), 3: (90.0, None), 4: (None, None)}
    assert len(landing.stated_sessions(store, "a")) == 1


def test_a_session_that_no_import_has_is_entered_until_one_brings_it(store: LocalStore) -> None:
    landing.land(store, runs(EASY))
    assert say(store, "2024-05-06 rpe=6 minutes=45 sport=strength") == ("12:00 WeightTraining 45 min", True)
    number = number_of_name("session a 2024-05-06 WeightTraining ")
    assert held(store) == {7: (None, None), number: (None, 6.0)}
    say(store, "2024-05-06 load=30")
    assert held(store) == {7: (None, None), number: (30.0, 6.0)}
    landing.land(store, runs(activity("2024-05-06 08:00:00", id=8, moving_time=2_700.0)))  # a run: another session
    assert set(held(store)) == {7, 8, number}
    brought = activity("2024-05-06 19:00:00", id=9, sport_type="strength_training", distance=0.0, moving_time=2_760.0)
    landing.land(store, runs(brought))
    assert held(store) == {7: (None, None), 8: (None, None), 9: (30.0, 6.0)}
    landing.land(store, runs(brought, EASY))
    assert held(store)[9] == (30.0, 6.0)


def test_what_was_said_is_taken_back_by_none(store: LocalStore) -> None:
    landing.land(store, runs(EASY))
    say(store, "2024-05-05 load=85 rpe=7")
    say(store, "2024-05-05 load=none")
    assert held(store) == {7: (None, 7.0)}
    say(store, "2024-05-05 rpe=none")
    assert (held(store), landing.stated_sessions(store, "a")) == ({7: (None, None)}, [])
    say(store, "2024-05-07 load=40 minutes=60")
    assert len(held(store)) == 2
    say(store, "2024-05-07 load=none")
    assert (held(store), landing.stated_sessions(store, "a")) == ({7: (None, None)}, [])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("2024-05-05 load=85", r"2 sessions may be meant \(07:00 WeightTraining 40 min; 18:30 Run 50 min\).*at=hh:mm"),
        ("2024-05-05 sport=swim load=85", "no such session .*give minutes="),
        ("2024-05-06 load=85", "none at all"),
        ("2024-05-06 load=none", "nothing of it can be taken back"),
        ("2024-05-05 sport=run load=400", r"more than 50 min can be \(167"),
        ("2024-05-05 sport=run load=0", "1 to 2000"),
        ("2024-05-05 sport=run load=8,5", "1 to 2000"),
        ("2024-05-05 sport=run rpe=11", "1 to 10"),
        ("2024-05-05 minutes=0 rpe=5", "1 to 2880"),
        ("2024-05-05 sport=bowlng rpe=5", "no such sport"),
        ("2024-05-05 at=25:00 rpe=5", "hh:mm"),
        ("2024-05-05 lod=85", "did you mean load"),
        ("2024-05-05 load=85 load=80", "twice"),
        ("2024-05-05 minutes=50", "load=85, or rpe=6"),
        ("2024-07-01 load=85", "future.*athlete-assets import plan.csv"),
        ("05.05.2024 load=85", "yyyy-mm-dd"),
        ("2024-02-30 load=85", "no day"),
        ("load=85", "of one day"),
    ],
)
def test_what_nobody_can_mean_is_refused_and_nothing_is_stored(store: LocalStore, words: str, why: str) -> None:
    landing.land(store, runs(EASY, GYM))
    before = held(store)
    with pytest.raises(InputError, match=why):
        say(store, words)
    assert held(store) == before
    assert landing.stated_sessions(store, "a") == []


def written(folder: Path, text: str, name: str = "sessions.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_file_of_sessions_is_known_by_its_columns_and_read(tmp_path: Path) -> None:
    path = written(tmp_path, "Date;RPE;Minutes;Sport;At\n2024-05-05;6,5;45;strength;18:30\n2024-05-06;7;;;\n")
    assert is_sessions_file(path)
    first, second = read_sessions(path, TODAY)
    assert (str(first), first.figures) == ("2024-05-05 18:30 WeightTraining 45 min", {"perceived_exertion": 6.5})
    assert (str(second), second.figures) == ("2024-05-06", {"perceived_exertion": 7.0})
    for text in ("date,load,minutes,race\n", "date,distance,time\n", "id,date,load\n", export(RUN), "date,minutes\n"):
        assert not is_sessions_file(written(tmp_path, text))
    with pytest.raises(InputError, match=r"sessions\.csv, line 3: rpe=12"):
        read_sessions(written(tmp_path, "date,rpe\n2024-05-05,7\n2024-05-06,12\n"), TODAY)


def test_one_bad_line_of_a_file_writes_nothing(store: LocalStore, tmp_path: Path) -> None:
    landing.land(store, runs(EASY))
    path = written(tmp_path, "date,load\n2024-05-05,80\n2024-05-09,50\n")
    with pytest.raises(InputError, match=r"sessions\.csv, line 3: 2024-05-09: there is no such session"):
        commands.enter_sessions(path, store.settings, None)
    twice = written(tmp_path, "date,load,minutes\n2024-05-05,80,\n2024-05-05,50,50\n")
    with pytest.raises(InputError, match=r"line 3: .* told of twice"):
        commands.enter_sessions(twice, store.settings, None)
    assert held(store) == {7: (None, None)}
    assert import_log.imports(store) == []


def contents(store: LocalStore) -> dict[str, list[str]]:
    return {
        table.name: sorted(repr({**row, tables.INGESTED: None}) for row in store.rows(table).to_pylist())
        for table in (tables.STRAVA_ACTIVITIES, tables.SESSIONS, tables.RACES)
    }


def test_no_order_of_imports_changes_the_tables(store: LocalStore, tmp_path: Path) -> None:
    """A run and its copy by another service, sessions of which one is the run, and a gym that a third file brings."""
    told = (
        session_of_words(["2024-05-05", "load=80", "minutes=50", "sport=run"], TODAY),
        session_of_words(["2024-05-06", "rpe=6", "minutes=45"], TODAY),
    )
    copy = {**EASY, "id": 3, "average_heartrate": 150.0, "moving_time": 2_950.0}
    gym = activity("2024-05-06 19:00:00", id=9, sport_type="Workout", distance=0.0, moving_time=2_760.0)
    steps = {
        "export": lambda home: landing.land(home, runs(EASY)),
        "copy": lambda home: landing.land(home, runs(copy)),
        "gym": lambda home: landing.land(home, runs(gym)),
        "told": lambda home: landing.land_sessions(home, "a", told),
    }
    found = []
    # every third of the 24 orders: each step comes first, comes last, and stands on both sides of each other one
    for number, order in enumerate(list(permutations(steps))[::3]):
        home = LocalStore(store.settings.model_copy(update={"home": tmp_path / str(number)}))
        for step in (*order, order[0]):
            steps[step](home)
        found.append(contents(home))
    assert all(each == found[0] for each in found)
    assert len(found[0][tables.STRAVA_ACTIVITIES.name]) == 3


def test_an_import_that_is_taken_back_leaves_what_was_said_since(store: LocalStore, tmp_path: Path) -> None:
    def csv(name: str, *rows: dict[str, Any]) -> Path:
        arrow(rows).drop_columns([tables.INGESTED]).to_pandas().to_csv(tmp_path / name, index=False)
        return tmp_path / name

    commands.import_file(csv("first.csv", EASY), store.settings, None)
    commands.import_file(csv("second.csv", {**EASY, "average_heartrate": 150.0}, GYM), store.settings, None)
    say(store, "2024-05-05 load=80 sport=run")
    commands.import_file(
        written(tmp_path, "date,rpe,minutes\n2024-05-05,4,40\n2024-06-01,5,30\n"), store.settings, None
    )
    (entered,) = held(store).keys() - {6, 7}
    assert held(store) == {7: (80.0, None), 6: (None, 4.0), entered: (None, 5.0)}
    import_log.undo(store)
    assert held(store) == {7: (80.0, None), 6: (None, None)}
    import_log.undo(store)
    assert held(store) == {7: (80.0, None)}
    (row,) = store.rows(tables.STRAVA_ACTIVITIES).to_pylist()
    assert row["average_heartrate"] is None


def test_the_command_says_which_session_it_was(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    landing.land(store, runs(EASY))
    said: list[str] = []
    monkeypatch.setattr(commands, "say", said.append)
    commands.tell_or_state(["session", "2024-05-05", "load=80"], store.settings)
    assert said[0].startswith("a: 2024-05-05 18:30 Run 50 min: stored. What follows on 2024-05-05 and later")
    assert said[-1].split() == ["session", "load=80", "2024-05-05", "18:30,", "50", "min"]
    commands.tell_or_state(["a", "session", "2024-05-06", "rpe=5", "minutes=30"], store.settings)
    assert "entered" in said[-1]
