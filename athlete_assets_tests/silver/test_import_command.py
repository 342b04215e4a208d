"""`athlete-assets import` as a person uses it: whose days, whose rows, and one clear line for each answer."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from athlete_assets import cli, tables
from athlete_assets.settings import Settings
from athlete_assets.silver import zones
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.silver.exports import RUN, export


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new home, in an environment that says nothing else."""
    import os

    for name in list(os.environ):
        if name.startswith("ATHLETE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ATHLETE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path / "home"


def imported(folder: Path, text: str, *options: str, name: str = "activities.csv") -> int:
    path = folder / name
    path.write_text(text)
    return cli.main(["import", "--export", str(path), *options])


def activities(home: Path) -> list[dict[str, Any]]:
    rows = LocalStore(Settings(home=home)).rows(tables.STRAVA_ACTIVITIES).to_pylist()
    return sorted(rows, key=lambda row: (row["athlete_id"], row["id"]))


# ------------------------------------------------------------------------------------------------------ time zones

EVENING = {**RUN, "Activity Date": "Jun 9, 2022, 9:05:00 PM"}


def test_a_zone_that_was_given_once_stays(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """21:05 UTC is 06:05 of the next day in Tokyo: set for the second import only, and kept by the third."""
    assert imported(tmp_path, export(EVENING)) == 0
    assert activities(home)[0]["start_date_local"] == datetime(2022, 6, 9, 21, 5)
    monkeypatch.setenv("ATHLETE_TIME_ZONE", "Asia/Tokyo")
    assert imported(tmp_path, export(EVENING)) == 0
    assert activities(home)[0]["start_date_local"] == datetime(2022, 6, 10, 6, 5)
    monkeypatch.delenv("ATHLETE_TIME_ZONE")
    assert imported(tmp_path, export(EVENING)) == 0
    (row,) = activities(home)
    assert (row["start_date_local"], row["timezone"]) == (datetime(2022, 6, 10, 6, 5), "Asia/Tokyo")
    assert Settings.load({"ATHLETE_HOME": str(home)}).time_zone == "Asia/Tokyo"


def test_the_machines_zone_stands_in_and_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """20:05 UTC in June is 06:05 of the next day in Sydney (UTC+10)."""
    monkeypatch.setenv("TZ", "Australia/Sydney")
    assert imported(tmp_path, export({**RUN, "Activity Date": "Jun 9, 2022, 8:05:00 PM"})) == 0
    assert activities(home)[0]["start_date_local"] == datetime(2022, 6, 10, 6, 5)
    assert "this machine's zone, Australia/Sydney" in capsys.readouterr().out
    monkeypatch.setenv("TZ", "Europe/Berlin")  # another machine: the home remembers
    assert imported(tmp_path, export({**RUN, "Activity Date": "Jun 9, 2022, 8:05:00 PM"})) == 0
    assert activities(home)[0]["start_date_local"] == datetime(2022, 6, 10, 6, 5)


def test_without_any_zone_the_import_asks_for_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "AEST-10AEDT")  # POSIX rules name no zone
    assert imported(tmp_path, export(EVENING)) == 2
    assert "set ATHLETE_TIME_ZONE" in capsys.readouterr().err
    assert not home.exists()


@pytest.mark.parametrize(
    ("text", "zone"),
    [("Asia/Kolkata", "Asia/Kolkata"), (":Asia/Kolkata", "Asia/Kolkata"), ("", "UTC"), ("Mars/Base", None)],
)
def test_the_machines_zone_is_what_tz_names(monkeypatch: pytest.MonkeyPatch, text: str, zone: str | None) -> None:
    monkeypatch.setenv("TZ", text)
    assert zones.machine_zone() == zone


def test_the_machines_zone_is_what_localtime_points_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/America/St_Johns")
    monkeypatch.setattr(zones, "LOCALTIME", link)
    assert zones.machine_zone() == "America/St_Johns"
    monkeypatch.setattr(zones, "LOCALTIME", tmp_path / "none")
    monkeypatch.setattr(zones, "TIMEZONE", tmp_path / "timezone")
    assert zones.machine_zone() is None
    (tmp_path / "timezone").write_text("Asia/Kathmandu\n")
    assert zones.machine_zone() == "Asia/Kathmandu"


def test_a_file_with_local_times_needs_no_zone(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Mars/Base")
    text = (
        "athlete_id,activity_id,start_time_utc,start_time_local,sport_type,distance_m,moving_time_s\n"
        "a,1,2024-05-01 23:00:00,2024-05-02 08:00:00,Run,5000,1500\n"
    )
    assert imported(tmp_path, text) == 0
    assert activities(home)[0]["start_date_local"] == datetime(2024, 5, 2, 8)
    assert "ATHLETE_TIME_ZONE" not in (home / "settings.env").read_text()


# ------------------------------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("name", ["   ", "", "\t\n", "\u200b", "\u00a0", "..", "a\x00b", "a\nb"])
def test_a_blank_athlete_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert imported(tmp_path, export(RUN), f"--athlete={name}") == 2
    error = capsys.readouterr().err
    assert error.startswith("athlete-assets: --athlete")
    assert error.count("\n") == 1
    assert not home.exists()


def test_an_athlete_is_taken_without_the_spaces_around(home: Path, tmp_path: Path) -> None:
    assert imported(tmp_path, export(RUN), "--athlete", " ada ") == 0
    assert activities(home)[0]["athlete_id"] == "ada"


def test_a_tilde_is_the_home_folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.csv").write_text(export(RUN))
    assert cli.main(["import", "--export", "~/a.csv"]) == 0
    assert len(activities(home)) == 1
    monkeypatch.setenv("ATHLETE_HOME", "~/other")
    assert cli.main(["import", "--export", "~/a.csv"]) == 0
    assert len(activities(tmp_path / "other")) == 1


def test_splits_are_counted_as_splits(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "athlete_id,activity_id,split_id,distance,moving_time,elapsed_time\na,1,1,1000,300,300\n"
    assert imported(tmp_path, text) == 0
    out = capsys.readouterr().out
    assert "1 split: 1 new" in out
    assert "None" not in out
    assert "activities" not in out.splitlines()[-1]
    assert imported(tmp_path, text + "a,1,2,1000,301,301\n") == 0
    assert "2 splits: 1 new or changed, 1 as they were" in capsys.readouterr().out


@pytest.mark.parametrize("day", ["Feb 7, 2106, 6:28:00 AM", "Dec 31, 1989, 6:28:00 AM"])
def test_a_run_without_any_day_in_the_calendar_ends_at_once(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], day: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(export({**RUN, "Activity Date": day}))
    assert cli.main(["run", "--export", str(path)]) == 2
    captured = capsys.readouterr()
    assert "1 activity, none between 2000-01-01 and today" in captured.out
    assert "lies between 2000-01-01 and today" in captured.err
    assert "None" not in captured.out + captured.err


# ---------------------------------------------------------------------------------------------- a home's settings


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_settings_file_beside_data_is_an_error(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """As a full disk or a power cut leaves it: the days of all activities would shift without a word."""
    assert imported(tmp_path, export(RUN)) == 0
    (home / "settings.env").write_text(text)
    assert cli.main(["status"]) == 2
    assert "settings.env: is empty" in capsys.readouterr().err
    (home / "settings.env").write_text("ATHLETE_TIME_ZONE=Europe/Berlin\nATHLETE_START_DATE=2022-06-06\n")
    assert Settings.load().time_zone == "Europe/Berlin"


def test_an_empty_settings_file_in_an_empty_home_is_none(home: Path) -> None:
    home.mkdir()
    (home / "settings.env").write_text("")
    assert Settings.load().home == home


# ------------------------------------------------------------------------------------------------- whose activities

PROFILE = "Athlete ID,Email Address,First Name,Last Name,Sex\n4312866,ada@example.org,Ada,Lovelace,F\n"


def zipped(folder: Path, name: str, profile: str | None, *rows: dict[str, Any]) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("activities.csv", export(*rows))
        if profile is not None:
            archive.writestr("profile.csv", profile)
    return path


def run(number: int, day: int) -> dict[str, Any]:
    return {**RUN, "Activity ID": str(number), "Activity Date": f"Jun {day}, 2022, 6:00:00 AM"}


@pytest.mark.parametrize(
    ("name", "profile", "athlete", "sex"),
    [
        ("export_1.zip", PROFILE, "4312866", "F"),
        ("download.zip", PROFILE, "4312866", "F"),
        ("export_4312866 (1).zip", None, "4312866", None),
        ("download.zip", None, "me", None),
        ("download.zip", PROFILE.replace(",F", ",Male").replace("Athlete ID", "Athleten-ID"), "4312866", "M"),
        ("export_7.zip", "ID,Geschlecht\n7,männlich\n", "7", "M"),
        ("export_7.zip", "ID,Sexo\n7,Feminino\n", "7", "F"),
        ("export_7.zip", "nothing of use\n", "7", None),
        ("export_7.zip", "Athlete ID\nx\n", "7", None),
    ],
)
def test_an_export_says_whose_it_is(
    home: Path, tmp_path: Path, name: str, profile: str | None, athlete: str, sex: str | None
) -> None:
    assert cli.main(["import", "--export", str(zipped(tmp_path, name, profile, run(1, 9)))]) == 0
    assert [row["athlete_id"] for row in activities(home)] == [athlete]
    stated = LocalStore(Settings(home=home)).rows(tables.STRAVA_ATHLETE).to_pylist()
    assert [(row["athlete_id"], row["sex"]) for row in stated] == ([(athlete, sex)] if sex else [])
    for file in home.rglob("*"):
        assert not file.is_file() or not any(word in file.read_bytes() for word in (b"example.org", b"Lovelace"))


def test_the_profile_beside_an_unpacked_export_counts(home: Path, tmp_path: Path) -> None:
    (tmp_path / "profile.csv").write_text(PROFILE)
    assert imported(tmp_path, export(run(1, 9))) == 0
    assert activities(home)[0]["athlete_id"] == "4312866"


def test_two_persons_exports_in_one_home_are_two_athletes(home: Path, tmp_path: Path) -> None:
    first = zipped(tmp_path, "export_1.zip", None, run(1, 9), run(2, 10))
    second = zipped(tmp_path, "export_2.zip", None, run(1, 11), run(3, 12))
    assert cli.main(["import", "--export", str(first)]) == 0
    assert cli.main(["import", "--export", str(second)]) == 0
    found = [(row["athlete_id"], row["id"], row["start_date_local"].day) for row in activities(home)]
    assert found == [("1", 1, 9), ("1", 2, 10), ("2", 1, 11), ("2", 3, 12)]


def test_an_export_without_a_name_is_not_merged_into_a_strangers_rows(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(tmp_path, export(run(1, 9), run(2, 10))) == 0
    before = activities(home)
    for rows in ([run(1, 20), run(2, 21)], [run(8, 20), run(9, 21)]):  # equal ids of other days, and no common id
        assert imported(tmp_path, export(*rows)) == 2
        assert "give --athlete me where they are the same person's" in capsys.readouterr().err
        assert activities(home) == before
    assert imported(tmp_path, export(run(8, 20), run(9, 21)), "--athlete", "bob") == 0
    assert imported(tmp_path, export(run(3, 11)), "--athlete", "me") == 0
    assert [(row["athlete_id"], row["id"]) for row in activities(home)] == [
        ("bob", 8), ("bob", 9), ("me", 1), ("me", 2), ("me", 3),
    ]  # fmt: skip
    assert imported(tmp_path, export(*(run(n, 8 + n) for n in range(1, 8)))) == 0  # a later export of 'me'


def test_one_persons_rows_under_another_name_are_asked_about(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(tmp_path, export(run(1, 9), run(2, 10))) == 0
    path = zipped(tmp_path, "export_4.zip", None, run(1, 9), run(2, 10), run(3, 11))
    assert cli.main(["import", "--export", str(path)]) == 2
    assert "give --athlete me to go on with that name, or --athlete 4" in capsys.readouterr().err
    assert cli.main(["import", "--export", str(path), "--athlete", "me"]) == 0
    assert [(row["athlete_id"], row["id"]) for row in activities(home)] == [("me", 1), ("me", 2), ("me", 3)]


def test_what_an_athlete_stated_outlives_the_profile(home: Path, tmp_path: Path) -> None:
    assert imported(tmp_path, "athlete_id,birth_year,max_hr_bpm\n4312866,1990,188\n", name="me.csv") == 0
    path = zipped(tmp_path, "export_1.zip", PROFILE, run(1, 9))
    assert cli.main(["import", "--export", str(path)]) == 0
    (row,) = LocalStore(Settings(home=home)).rows(tables.STRAVA_ATHLETE).to_pylist()
    assert (row["birth_year"], row["max_hr_bpm"], row["sex"]) == (1990, 188.0, "F")


# --------------------------------------------------------------------------------------------- deleted at the source


def test_what_a_later_export_lacks_is_told_and_dropped_when_asked(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Activity 3 was deleted at Strava; 2 was deleted and uploaded again as 9."""
    assert imported(tmp_path, export(run(1, 9), run(2, 12), run(3, 14))) == 0
    capsys.readouterr()
    later = export(run(1, 9), run(9, 12))
    assert imported(tmp_path, later) == 0
    out = capsys.readouterr().out
    assert "2 activities of the last export are no longer in this one, and stay: 2, 3." in out
    assert "--drop-missing" in out
    assert imported(tmp_path, later, "--drop-missing") == 0
    assert [row["id"] for row in activities(home)] == [1, 9]
    assert imported(tmp_path, later) == 0
    assert "no longer" not in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("years", "start"),
    [
        ((2001, 2022, 2022), "2022-06-06"),  # a clock that was lost
        ((2001, 2004, 2022, 2022, 2022), "2022-06-06"),
        ((2001, 2001, 2001, 2022), "2001-06-04"),  # three runs are a history
        ((2018, 2022), "2018-06-04"),
        ((2001,), "2001-06-04"),
    ],
)
def test_one_bad_date_makes_no_years_of_empty_partitions(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], years: tuple[int, ...], start: str
) -> None:
    rows = [
        {**RUN, "Activity ID": str(n), "Activity Date": f"Jun {9 + n}, {year}, 6:00:00 AM"}
        for n, year in enumerate(years)
    ]
    assert imported(tmp_path, export(*rows)) == 0
    assert Settings.load().start_date.isoformat() == start
    assert ("left out as before_start_date" in capsys.readouterr().out) == (start == "2022-06-06")


def test_a_bad_date_of_a_later_import_moves_no_calendar(home: Path, tmp_path: Path) -> None:
    assert imported(tmp_path, export(run(1, 9), run(2, 10))) == 0
    assert imported(tmp_path, export({**run(3, 9), "Activity Date": "Jan 1, 2001, 6:00:00 AM"}), "--athlete=me") == 0
    assert Settings.load().start_date.isoformat() == "2022-06-06"


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    path = tmp_path / "a.csv"
    with open(path, "wb") as handle:
        handle.write(export(RUN).encode() + b'2,"')
        handle.truncate(900 << 20)  # zeros without a line's end
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert cli.main(["import", "--export", str(path)]) == 2
    assert "line 3 or later: is longer than 4 MB" in capsys.readouterr().err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KB
