"""An athlete's own export reads the same in every layout and language, or says where it cannot be read."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.imports import ImportedRuns, read_runs
from athlete_assets.silver.readers import strava_words
from athlete_assets.silver.readers.csv_text import Cells, numbers
from athlete_assets.silver.readers.strava_export import export_times
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.silver.exports import ENGLISH, RUN, export

START = datetime(2022, 6, 9, 23, 19, 20, tzinfo=timezone.utc)


def imported(folder: Path, text: str | bytes, time_zone: str = "Europe/Berlin") -> ImportedRuns:
    path = folder / "activities.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_runs(path, Settings(time_zone=time_zone))


def only_row(runs: ImportedRuns) -> dict[str, object]:
    (row,) = runs.activities.to_pylist()
    return row


def times(*texts: str, day_first: bool | None = None) -> list[datetime | None]:
    return export_times(Cells("activities.csv", "Activity Date", range(2, len(texts) + 2), texts), day_first)


def marked(*columns: list[str], default: str | None = None) -> list[list[float | None]]:
    cells = [Cells("activities.csv", f"Column {n}", range(2, len(texts) + 2), texts) for n, texts in enumerate(columns)]
    return numbers(cells, default)


# --------------------------------------------------------------------------------------------------------- layouts


def test_a_run_becomes_a_silver_row_in_metres_seconds_and_both_clocks(tmp_path: Path) -> None:
    row = only_row(imported(tmp_path, export(RUN)))
    assert row.pop("silver_ingestion_timestamp") is not None
    assert row == {
        "athlete_id": "me",
        "id": 7001,
        "start_date": START,
        "start_date_local": datetime(2022, 6, 10, 1, 19, 20),
        "timezone": "Europe/Berlin",
        "sport_type": "Run",
        "workout_type": None,
        "distance": 9440.5,
        "moving_time": 3000.0,
        "elapsed_time": 3100.0,
        "total_elevation_gain": 42.5,
        "average_heartrate": 150.25,
        "max_heartrate": 171.0,
        "manual": None,
        "grade_adjusted_distance": None,
        "perceived_exertion": None,
        "weighted_power_w": None,
        "own_load": None,
        "trainer": None,
        "source": "strava_export",
    }


def test_the_layout_of_2018_is_in_metres(tmp_path: Path) -> None:
    text = (
        "id,date,name,type,description,elapsed_time,distance,commute,gear,filename\r\n"
        "5,2014-07-11 16:54:28,,Ride,,9462,43057.4,false,,activities/5.gpx\r\n"
    )
    runs = imported(tmp_path, text, "America/Sao_Paulo")
    row = only_row(runs)
    assert (row["distance"], row["elapsed_time"], row["moving_time"]) == (43057.4, 9462.0, None)
    assert row["start_date_local"] == datetime(2014, 7, 11, 13, 54, 28)
    assert any("no column for moving time, elevation gain" in note for note in runs.notes)


def test_the_order_of_the_columns_does_not_matter(tmp_path: Path) -> None:
    forward = only_row(imported(tmp_path, export(RUN)))
    backward_run = {name: value[::-1] if isinstance(value, tuple) else value for name, value in RUN.items()}
    backward = only_row(imported(tmp_path, export(backward_run, header=ENGLISH[::-1])))
    assert {**forward, "silver_ingestion_timestamp": 0} == {**backward, "silver_ingestion_timestamp": 0}


def test_a_file_that_pandas_wrote_again_is_read(tmp_path: Path) -> None:
    head, row = export(RUN).splitlines()
    seen: set[str] = set()
    names = [f"{name}.1" if name in seen or seen.add(name) else name for name in head.split(",")]  # type: ignore[func-returns-value]
    assert only_row(imported(tmp_path, "\n".join([",".join(names), row])))["distance"] == 9440.5


@pytest.mark.parametrize(
    ("language", "sport", "date", "kilometres"),
    [
        ("English", "Run", "Jun 9, 2022, 11:19:20 PM", "9.44"),
        ("Portuguese", "Corrida", "9 de jun. de 2022, 23:19:20", "9,44"),
        ("German", "Lauf", "09.06.2022, 23:19:20", "9,44"),
        ("Spanish", "Carrera", "9 jun 2022, 23:19:20", "9,44"),
        ("French", "Course à pied", "9 juin 2022, 23:19:20", "9,44"),
        ("Italian", "Corsa", "9 giu 2022, 23:19:20", "9,44"),
        ("Dutch", "Hardloopsessie", "9 jun. 2022 23:19:20", "9,44"),
    ],
)
def test_every_language_gives_the_same_row(
    tmp_path: Path, language: str, sport: str, date: str, kilometres: str
) -> None:
    english = only_row(imported(tmp_path, export(RUN)))
    other = {**RUN, "Activity Type": sport, "Activity Date": date, "Distance": (kilometres, "9440.5")}
    runs = imported(tmp_path, export(other, language=language))
    assert {**only_row(runs), "silver_ingestion_timestamp": 0} == {**english, "silver_ingestion_timestamp": 0}
    assert not any("no column" in note for note in runs.notes)


def test_a_header_in_an_unknown_language_says_what_was_found_and_what_is_expected(tmp_path: Path) -> None:
    finnish = "Aktiviteetin tunnus,Aktiviteetin päivämäärä,Laji\n1,2,3\n"
    with pytest.raises(InputError, match=r"activities\.csv.*'Aktiviteetin tunnus'.*expected 'Activity ID'.*German"):
        imported(tmp_path, finnish)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encoding_and_line_ends_do_not_matter(tmp_path: Path, encoding: str, newline: str) -> None:
    run = {**RUN, "Distance": ("9,44", "9440.5"), "Activity Type": "Lauf", "Activity Description": "Über\nBrücken"}
    text = export(run, language="German").replace("\n", newline).encode(encoding)
    row = only_row(imported(tmp_path, text))
    assert (row["sport_type"], row["distance"], row["total_elevation_gain"]) == ("Run", 9440.5, 42.5)


def test_semicolons_and_a_separator_line_of_excel_are_read(tmp_path: Path) -> None:
    assert only_row(imported(tmp_path, export(RUN, delimiter=";")))["distance"] == 9440.5
    assert only_row(imported(tmp_path, "sep=;\r\n" + export(RUN, delimiter=";")))["distance"] == 9440.5
    assert only_row(imported(tmp_path, export(RUN, delimiter="\t")))["distance"] == 9440.5


def test_empty_cells_are_null_and_blank_lines_no_activities(tmp_path: Path) -> None:
    empty = {"Activity ID": "8", "Activity Date": "Jun 9, 2022, 11:19:20 PM", "Activity Type": "Run"}
    text = export(empty) + "\n" + "," * (len(ENGLISH) - 1) + "\n\n"
    row = only_row(imported(tmp_path, text))
    for name in ("distance", "moving_time", "elapsed_time", "average_heartrate", "max_heartrate", "manual"):
        assert row[name] is None, name


def test_no_title_note_or_file_name_is_carried_along(tmp_path: Path) -> None:
    run = {**RUN, "Activity Private Note": "knee hurts", "Activity Gear": "Red shoes", "Filename": "activities/7.gpx"}
    runs = imported(tmp_path, export(run))
    text = repr([table.to_pylist() for table in (runs.activities, runs.splits, runs.athletes)]) + repr(runs.notes)
    for private in ("secret lake", "Ada", "knee", "Red shoes", "activities/7"):
        assert private not in text


# ------------------------------------------------------------------------------------------------ fields and units


@pytest.mark.parametrize(
    ("first", "second", "metres"),
    [
        ("9.44", "9440.5", 9440.5),
        ("5.87", "9440.5", 9440.5),  # 9440.5 m are 5.866 miles
        ("9440.5", "9.44", 9440.5),  # the two blocks in the other order
        ("9440.5", "9440.5", 9440.5),
    ],
)
def test_the_distance_in_metres_is_found(tmp_path: Path, first: str, second: str, metres: float) -> None:
    row = only_row(imported(tmp_path, export({**RUN, "Distance": (first, second)})))
    assert row["distance"] == metres


@pytest.mark.parametrize(
    ("distance", "why"),
    [
        (("9.44", "9.44"), "not in metres.*km or miles"),
        (("9.44", "31000"), "ratio 3284"),
        (("9.44", ""), "is empty"),
    ],
)
def test_a_distance_of_unknown_unit_is_an_error(tmp_path: Path, distance: tuple[str, str], why: str) -> None:
    with pytest.raises(InputError, match=f"activities.csv, column Distance: .*{why}.*ask Strava for a new export"):
        imported(tmp_path, export({**RUN, "Distance": distance}))


def test_the_single_distance_of_2019_in_km_or_miles_is_an_error(tmp_path: Path) -> None:
    header = [*ENGLISH[:7], "Commute", "Activity Gear", "Filename"]
    with pytest.raises(InputError, match="column Distance: is not in metres"):
        imported(tmp_path, export(RUN, header=header))


def test_the_first_block_fills_a_maximum_heart_rate_that_the_second_lacks(tmp_path: Path) -> None:
    row = only_row(imported(tmp_path, export({**RUN, "Max Heart Rate": ("184.0", "")})))
    assert row["max_heartrate"] == 184.0


def test_uploads_competitions_and_recordings_are_told(tmp_path: Path) -> None:
    rows = [
        {**RUN, "Activity ID": "1", "From Upload": "1.0", "Competition": "1.0", "Filename": "activities/1.fit.gz"},
        {**RUN, "Activity ID": "2", "From Upload": "0.0", "Competition": "0.0"},
        {**RUN, "Activity ID": "3", "From Upload": "1.0", "Competition": "1.0", "Activity Type": "Swim"},
        {**RUN, "Activity ID": "4", "Filename": "activities/4.GPX"},
    ]
    runs = imported(tmp_path, export(*rows))
    assert runs.activities["manual"].to_pylist() == [False, True, False, None]
    assert runs.activities["workout_type"].to_pylist() == [1, None, None, None]
    assert any("2 of 2 recordings that the export lists are not in it" in note for note in runs.notes)


def test_without_from_upload_an_activity_without_recording_is_manual(tmp_path: Path) -> None:
    header = [name for name in ENGLISH if name != "From Upload"]
    rows = [{**RUN, "Activity ID": "1", "Filename": "activities/1.fit"}, {**RUN, "Activity ID": "2"}]
    assert imported(tmp_path, export(*rows, header=header)).activities["manual"].to_pylist() == [False, True]
    no_names = imported(tmp_path, export(rows[1], header=header))  # a copy without file names shows nothing
    assert no_names.activities["manual"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("found", "sport"),
    [
        ("Weight Training", "WeightTraining"),
        ("E-Bike Ride", "EBikeRide"),
        ("Football (Soccer)", "Soccer"),
        ("TrailRun", "TrailRun"),
        ("Corrida em trilha", "TrailRun"),
        ("Virtueller Lauf", "VirtualRun"),
        ("Radfahrt", "Ride"),
        ("Caminata", "Walk"),
        ("Randonnée", "Hike"),
        ("Nuoto", "Swim"),
        ("Virtuele fietsrit", "VirtualRide"),
    ],
)
def test_sports_have_stravas_own_names(tmp_path: Path, found: str, sport: str) -> None:
    assert only_row(imported(tmp_path, export({**RUN, "Activity Type": found})))["sport_type"] == sport


def test_an_unknown_sport_keeps_its_spelling_and_is_told(tmp_path: Path) -> None:
    runs = imported(tmp_path, export({**RUN, "Activity Type": "Quidditch"}))
    assert only_row(runs)["sport_type"] == "Quidditch"
    assert any("1 activity keeps a sport that is unknown here: 'Quidditch'" in note for note in runs.notes)


def test_no_word_stands_for_two_things() -> None:
    names = [
        (strava_words.folded(name), sport)
        for sport, text in strava_words._SPORTS.items()
        for name in {sport, *text.split("|")}
    ]
    headers = [(strava_words.folded(name), field) for field, text in strava_words._HEADERS.items() for name in text]
    months = [(name, number) for number, text in enumerate(strava_words._MONTHS, 1) for name in text.split()]
    for words in (names, headers, months):
        assert len({word for word, _ in words}) == len(set(words))
    assert all(strava_words.folded(month) == month for month, _ in months)


# ----------------------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    "text",
    [
        "Jun 9, 2022, 11:19:20 PM",
        "Jun 9, 2022, 11:19:20\u202fPM",
        "Jun 9, 2022, 11:19:20\u00a0p.m.",
        "June 9, 2022 at 11:19:20 PM",
        "9 Jun 2022, 23:19:20",
        "9 de jun. de 2022, 23:19:20",
        "9 de jun. de 2022 23:19:20",
        "9 de junho de 2022 às 23:19:20",
        "9 jun 2022 23:19:20",
        "9 jun. 2022, 11:19:20 p. m.",
        "9 juin 2022 à 23:19:20",
        "09.06.2022, 23:19:20",
        "9.6.2022 23:19:20",
        "9. Juni 2022 um 23:19:20 Uhr",
        "9 giu 2022, 23:19:20",
        "2022-06-09 23:19:20",
        "2022-06-09T23:19:20Z",
        "2022-06-09 23:19:20 UTC",
        "2022-06-09 23:19:20+00:00",
        "2022/06/09 23:19:20",
    ],
)
def test_dates_are_read_in_the_forms_seen_in_the_wild(text: str) -> None:
    assert times(text) == [START]


def test_seconds_may_be_missing_and_noon_is_twelve() -> None:
    assert times("Jun 9, 2022, 11:19 PM") == [START.replace(second=0)]
    assert times("Jun 9, 2022, 12:00:00 AM", "Jun 9, 2022, 12:00:00 PM") == [
        datetime(2022, 6, 9, 0, tzinfo=timezone.utc),
        datetime(2022, 6, 9, 12, tzinfo=timezone.utc),
    ]


@pytest.mark.parametrize(
    ("month", "text"),
    [
        (1, "ene. janv. gennaio"),
        (2, "fev. févr. Feb."),
        (3, "März mrt. marzo"),
        (4, "abr. avr. aprile"),
        (5, "mai mei mag"),
        (7, "lug juil. Juli"),
        (8, "ago. août aug"),
        (9, "set. sept. Sep"),
        (10, "out. ott okt"),
        (12, "dez. dic. déc."),
    ],
)
def test_months_are_known_by_their_names(month: int, text: str) -> None:
    for name in text.split():
        assert times(f"5 {name} 2022, 10:00:00") == [datetime(2022, month, 5, 10, tzinfo=timezone.utc)], name


def test_slashed_dates_are_read_as_the_whole_column_shows() -> None:
    june_ninth, june_thirteenth = START, START.replace(day=13)
    assert times("09/06/2022 23:19:20", "13/06/2022 23:19:20") == [june_ninth, june_thirteenth]
    assert times("06/09/2022 23:19:20", "06/13/2022 23:19:20") == [june_ninth, june_thirteenth]
    assert times("09/06/2022 23:19:20", day_first=True) == [june_ninth]
    with pytest.raises(InputError, match=r"line 2, column Activity Date.*the day or the month first"):
        times("09/06/2022 23:19:20", "06/06/2022 23:19:20")
    with pytest.raises(InputError, match=r"line 2, column Activity Date"):
        times("05/06/2022 23:19:20", "13/06/2022 23:19:20", "06/13/2022 23:19:20")


@pytest.mark.parametrize(
    "text",
    ["31 Feb 2022, 10:00:00", "Jun 9, 2022", "9 Quux 2022, 10:00:00", "2022-13-01 10:00:00", "Jun 9, 22, 10:00:00",
     "Jun 9, 2022, 13:00:00 PM", "Jun 9, 2022, 24:00:00", "soon", "::", "10:00:00", "2022-06-09 23:19:20+02:00"],
)  # fmt: skip
def test_what_is_no_date_is_an_error_of_its_line_and_column(text: str) -> None:
    with pytest.raises(InputError, match=r"activities\.csv, line 3, column Activity Date: .* is not a time"):
        times("Jun 9, 2022, 11:19:20 PM", text)


@pytest.mark.parametrize(
    ("utc", "zone", "local"),
    [
        ("Dec 1, 2018, 12:00:00 PM", "America/Sao_Paulo", datetime(2018, 12, 1, 10)),  # the last summer time there
        ("Dec 1, 2019, 12:00:00 PM", "America/Sao_Paulo", datetime(2019, 12, 1, 9)),
        ("Mar 27, 2022, 12:59:59 AM", "Europe/Berlin", datetime(2022, 3, 27, 1, 59, 59)),
        ("Mar 27, 2022, 1:00:00 AM", "Europe/Berlin", datetime(2022, 3, 27, 3)),
        ("Jan 1, 2022, 12:00:00 AM", "Asia/Kathmandu", datetime(2022, 1, 1, 5, 45)),
    ],
)
def test_local_time_follows_the_zone_with_its_summer_time(tmp_path: Path, utc: str, zone: str, local: datetime) -> None:
    assert only_row(imported(tmp_path, export({**RUN, "Activity Date": utc}), zone))["start_date_local"] == local


# --------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["9,44", "1.234"], [9.44, 1234.0]),
        (["9.44", "1,234"], [9.44, 1234.0]),
        (["1.234,5"], [1234.5]),
        (["1,234.5"], [1234.5]),
        (["1.234.567"], [1234567.0]),
        (["1 234,5", "1\u202f234"], [1234.5, 1234.0]),
        (["1'234.5"], [1234.5]),
        (["0.123"], [0.123]),
        (["1234.567"], [1234.567]),
        (["6.103515625e-05"], [6.103515625e-05]),
        (["-0,5", ""], [-0.5, None]),
        (["12", "3"], [12.0, 3.0]),
    ],
)
def test_a_column_shows_its_decimal_mark(cells: list[str], values: list[float | None]) -> None:
    assert marked(cells) == [values]


def test_an_ambiguous_column_is_decided_by_the_others_then_by_the_language() -> None:
    assert marked(["1.234"], ["9.5"]) == [[1.234], [9.5]]
    assert marked(["1.234"], ["9,5"]) == [[1234.0], [9.5]]
    assert marked(["1.234"], ["9,5"], default=".") == [[1234.0], [9.5]]
    assert marked(["1.234"], default=".") == [[1.234]]
    assert marked(["1,234"], default=".") == [[1234.0]]


def test_where_nothing_decides_there_is_an_error_and_no_guess(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 3, column Column 0: '1\.234' may be a thousand or a fraction"):
        marked(["5", "1.234"])
    with pytest.raises(InputError, match="may be a thousand or a fraction"):
        marked(["1.234"], ["9,5"], ["9.5"])
    run = {"Activity ID": "1", "Activity Date": "09.06.2022, 10:00:00", "Activity Type": "Lauf",
           "Elapsed Time": "600", "Distance": "1.234"}  # fmt: skip
    with pytest.raises(InputError, match=r"line 2, column Distanz: '1\.234' may be"):
        imported(tmp_path, export(run, language="German"))


@pytest.mark.parametrize("bad", ["12:30", "9..4", "n/a", "1.23.456", "1,2,3", "--5", "1e", "nan", "inf", "1.234,567.8"])
def test_what_is_no_number_is_an_error_of_its_line_and_column(tmp_path: Path, bad: str) -> None:
    text = export({**RUN, "Activity Description": "two\nlines"}, {**RUN, "Activity ID": "2", "Moving Time": bad})
    # the header is line 1, the first activity lines 2 and 3
    with pytest.raises(InputError, match=r"activities\.csv, line 4, column Moving Time: .*is not a number"):
        imported(tmp_path, text)


def test_a_column_with_both_decimal_marks_is_an_error() -> None:
    with pytest.raises(InputError, match=r"line 3, column Column 0: '9,5' has the decimal mark ','"):
        marked(["9.44", "9,5"])


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Activity ID": "seven"}, r"line 2, column Activity ID: 'seven' is not an integer"),
        ({"Activity ID": "9" * 19}, r"line 2, column Activity ID: .* too large for 64 bits"),
        ({"Activity Date": "yesterday"}, r"line 2, column Activity Date: 'yesterday' is not a time"),
        ({"Elevation Gain": "1e999"}, r"line 2, column Elevation Gain: the number is too large"),
        ({"From Upload": "maybe"}, r"line 2, column From Upload: 'maybe' is not a number"),
        ({"Activity Date": "Jan 1, 0001, 12:00:00 AM"}, r"line 2, column Activity Date: .*outside the calendar"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=rf"^activities\.csv, {message}"):
        imported(tmp_path, export({**RUN, **change}), "America/Sao_Paulo")


def test_a_row_of_another_length_and_an_open_quotation_mark_are_named(tmp_path: Path) -> None:
    text = export(RUN, {**RUN, "Activity ID": "2"})
    with pytest.raises(InputError, match=r"line 3: has 4 cells where the header has 36"):
        imported(tmp_path, "\n".join([*text.splitlines()[:2], "1,2,3,4"]))
    with pytest.raises(InputError, match=r"line 3 or later: .*quotation mark"):
        imported(tmp_path, "\n".join([*text.splitlines()[:2], '7002,"Jun 9, 2022']))


def test_an_error_repeats_only_the_beginning_of_a_cell(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        imported(tmp_path, export({**RUN, "Moving Time": "a long private note " * 20}))
    assert len(str(caught.value)) < 200


def test_an_activity_that_stands_twice_is_taken_once_or_refused(tmp_path: Path) -> None:
    runs = imported(tmp_path, export(RUN, RUN))
    assert runs.activities.num_rows == 1
    assert any("1 row repeats another one exactly" in note for note in runs.notes)
    with pytest.raises(InputError, match=r"line 3, column id: .*id 7001 stands in line 2 too, with other values"):
        imported(tmp_path, export(RUN, {**RUN, "Moving Time": "1"}))


# ------------------------------------------------------------------------------------------------------- real files


def test_the_shared_export_of_94_columns_has_439_runs(tmp_path: Path) -> None:
    path = shared_file("data/strava_export_94_columns.csv")
    runs = read_runs(path, Settings())
    sports = runs.activities["sport_type"].to_pylist()
    assert (len(sports), sports.count("Run")) == (610, 439)
    assert runs.activities["average_heartrate"].null_count == 5
    assert runs.activities["max_heartrate"].null_count == 5
    for name in ("id", "start_date", "start_date_local", "distance", "moving_time", "elapsed_time"):
        assert runs.activities[name].null_count == 0, name
    kilometres = [
        float(cell) for cell in re.findall(r"(?m)^\d+,\"[^\"]+\",[^,]*,[^,]*,[^,]*,\d+,([\d.]+),", path.read_text())
    ]
    assert len(kilometres) == 610
    # the people's block rounds to 10 m: 610 roundings of at most 5 m
    assert sum(runs.activities["distance"].to_pylist()) == pytest.approx(1000 * sum(kilometres), abs=610 * 5)


def test_the_shared_export_of_2018_is_read_whole() -> None:
    runs = read_runs(shared_file("data/strava_export_2018_10_columns.csv"), Settings())
    assert runs.activities.num_rows == 128
    assert set(runs.activities["sport_type"].to_pylist()) == {"Run", "Ride"}


# ---------------------------------------------------------------------------------- two distances, decided row by row

SWIM = {**RUN, "Activity ID": "8001", "Activity Type": "Swim", "Distance": ("1,500", "1500.0")}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("unit", [1000.0, 1609.344])
def test_a_swims_first_distance_is_in_metres_and_a_runs_is_not(tmp_path: Path, count: int, unit: float) -> None:
    rows = []
    for n in range(count):
        rows.append({**RUN, "Activity ID": str(10 * n + 1), "Distance": (f"{10_000 / unit:.2f}", "10000.0")})
        rows.append({**SWIM, "Activity ID": str(10 * n + 2)})
    path = tmp_path / "activities.csv"
    path.write_text(export(*rows))
    assert read_runs(path, Settings(time_zone="UTC")).activities["distance"].to_pylist() == [10_000.0, 1_500.0] * count


def test_one_odd_row_does_not_refuse_an_export(tmp_path: Path) -> None:
    """Somebody corrected a distance by hand: the machine's column counts, as in the other rows."""
    odd = {**RUN, "Activity ID": "9001", "Distance": ("5.00", "9440.5")}
    path = tmp_path / "activities.csv"
    path.write_text(export(RUN, SWIM, odd))
    assert read_runs(path, Settings(time_zone="UTC")).activities["distance"].to_pylist() == [9440.5, 1500.0, 9440.5]


def test_a_single_distance_in_km_is_not_hidden_by_swims(tmp_path: Path) -> None:
    header = [name for n, name in enumerate(ENGLISH) if name != "Distance" or n < 10]
    rows = [{**RUN, "Distance": "10.00"}, *({**SWIM, "Activity ID": str(n), "Distance": "1500"} for n in range(2))]
    path = tmp_path / "activities.csv"
    path.write_text(export(*rows, header=header))
    with pytest.raises(InputError, match="is not in metres"):
        read_runs(path, Settings(time_zone="UTC"))


@pytest.mark.parametrize(("kilometres", "metres"), [("0.10", "105.0"), ("0.01", "14.0"), ("0.12", "115.1")])
def test_a_short_distance_is_what_two_decimals_leave_of_it(tmp_path: Path, kilometres: str, metres: str) -> None:
    """A treadmill run whose sensor was lost; its two distances are in the ratio 1050, 1400 or 959."""
    path = tmp_path / "activities.csv"
    path.write_text(export({**RUN, "Distance": (kilometres, metres)}))
    assert read_runs(path, Settings(time_zone="UTC")).activities["distance"].to_pylist() == [float(metres)]


def test_a_missing_distance_in_metres_is_made_of_the_other_in_its_sports_unit(tmp_path: Path) -> None:
    rows = [
        {**RUN, "Distance": ("5.00", "")},
        {**RUN, "Activity ID": "2", "Distance": ("10.00", "10000.0")},
        {**SWIM, "Activity ID": "3", "Distance": ("1,500", "")},
        {**SWIM, "Activity ID": "4", "Distance": ("750", "750.0")},
        {**RUN, "Activity ID": "5", "Activity Type": "Ride", "Distance": ("20.00", "")},  # in what, no row shows
    ]
    path = tmp_path / "activities.csv"
    path.write_text(export(*rows))
    found = read_runs(path, Settings(time_zone="UTC")).activities["distance"].to_pylist()
    assert found == [5_000.0, 10_000.0, 1_500.0, 750.0, None]


# ------------------------------------------------------------------------------------- results without a recording

RESULTS = {
    "English": ("Grade Adjusted Distance", "Perceived Exertion", "Weighted Average Power"),
    "German": ("Auf Steigung angepasste Distanz", "Gefühlte Anstrengung", "Gewichtete durchschnittliche Leistung"),
    "French": ("Distance ajustée selon la pente", "Effort ressenti", "Puissance moyenne pondérée"),
}


@pytest.mark.parametrize("language", RESULTS)
def test_results_that_need_no_recording_are_taken(tmp_path: Path, language: str) -> None:
    graded, exertion, power = RESULTS[language]
    text = export(
        {**RUN, graded: "9800.25", exertion: "7.0", power: "231"},
        {**RUN, "Activity ID": "2", graded: "0.0", exertion: "", power: "0.0"},
        header=[*ENGLISH, graded, exertion, power],
        language="English",
    )
    path = tmp_path / "activities.csv"
    path.write_text(text)
    rows = read_runs(path, Settings(time_zone="UTC")).activities.to_pylist()
    names = ("grade_adjusted_distance", "perceived_exertion", "weighted_power_w")
    assert [tuple(row[name] for name in names) for row in rows] == [(9800.25, 7.0, 231.0), (None, None, None)]


def test_a_competition_is_a_race_also_where_the_workout_type_says_nothing(tmp_path: Path) -> None:
    rows = [
        {**RUN, "Activity ID": str(n), "Workout Type": type_, "Competition": marked}
        for n, (type_, marked) in enumerate([("", "1.0"), ("0", "1.0"), ("3", "1.0"), ("1", "0.0"), ("", "")])
    ]
    path = tmp_path / "activities.csv"
    path.write_text(export(*rows, header=[*ENGLISH, "Workout Type"]))
    assert read_runs(path, Settings(time_zone="UTC")).activities["workout_type"].to_pylist() == [1, 1, 3, 1, None]


def test_the_shared_export_holds_graded_distances_and_powers() -> None:
    rows = read_runs(shared_file("data/strava_export_94_columns.csv"), Settings(time_zone="UTC")).activities
    known = {name: len(rows) - rows[name].null_count for name in ("perceived_exertion", "weighted_power_w")}
    assert known == {"perceived_exertion": 65, "weighted_power_w": 406}
    first = rows.slice(0, 1).to_pylist()[0]
    assert (first["grade_adjusted_distance"], first["distance"]) == (2432.60009765625, 2432.77001953125)
