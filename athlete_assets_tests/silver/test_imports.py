"""Every accepted kind of file gives silver rows; every other file gives one sentence, and never a traceback."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
import zipfile
from datetime import date, datetime, timezone
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.imports import ImportedRuns, read_runs
from athlete_assets.silver.readers import source_file
from athlete_assets.store.arrow import arrow_schema
from athlete_assets_tests.conftest import shared_file
from athlete_assets_tests.silver.exports import RUN, export

SETTINGS = Settings(time_zone="Europe/Berlin")
NOON = datetime(2024, 5, 1, 10, tzinfo=timezone.utc)


def silver_row(**changes: object) -> dict[str, object]:
    return {
        "athlete_id": "ada",
        "id": 1,
        "start_date": NOON,
        "start_date_local": datetime(2024, 5, 1, 12),
        "timezone": "Europe/Berlin",
        "sport_type": "Run",
        "workout_type": 1,
        "distance": 10000.0,
        "moving_time": 2400.0,
        "elapsed_time": 2500.0,
        "total_elevation_gain": 12.5,
        "average_heartrate": 165.0,
        "max_heartrate": 180.0,
        "manual": False,
        "trainer": True,
        "source": "watch",
        "silver_ingestion_timestamp": datetime(2001, 1, 1, tzinfo=timezone.utc),
        **changes,
    }


def silver_table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), arrow_schema(tables.STRAVA_ACTIVITIES))


def zipped(folder: Path, members: dict[str, str | bytes], name: str = "export_1.zip") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def written(folder: Path, content: str | bytes, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def content(runs: ImportedRuns) -> list[dict[str, object]]:
    return [{**row, "silver_ingestion_timestamp": None} for row in runs.activities.to_pylist()]


# ------------------------------------------------------------------------------------------------------------- zip


@pytest.mark.parametrize("member", ["activities.csv", "export_1/activities.csv", "Activities.CSV"])
def test_the_zip_of_an_account_is_read_like_the_csv_inside(tmp_path: Path, member: str) -> None:
    bare = read_runs(written(tmp_path, export(RUN)), SETTINGS)
    members: dict[str, str | bytes] = {"profile.csv": "Athlete ID,First Name\n1,Ada\n", member: export(RUN)}
    runs = read_runs(zipped(tmp_path, {**members, "activities/7001.gpx": "<gpx/>"}), SETTINGS)
    assert runs.kind == "strava_export"
    assert content(runs) == [{**row, "athlete_id": "1"} for row in content(bare)]
    assert "Ada" not in repr(runs)


def test_an_athlete_can_be_named_for_an_export(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"activities.csv": export(RUN)})
    assert read_runs(path, SETTINGS, "ada").activities["athlete_id"].to_pylist() == ["ada"]
    unnamed = read_runs(path, SETTINGS)
    assert any("follow the setting ATHLETE_TIME_ZONE=Europe/Berlin" in note for note in unnamed.notes)
    assert unnamed.activities["athlete_id"].to_pylist() == ["1"]  # its file's name is export_1.zip
    assert any("is of athlete '1'" in note for note in unnamed.notes)
    nameless = read_runs(written(tmp_path, export(RUN)), SETTINGS)
    assert nameless.activities["athlete_id"].to_pylist() == ["me"]
    assert any("belong to 'me'" in note for note in nameless.notes)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"notes.txt": "hello"}, "holds no activities.csv"),
        ({}, "holds no activities.csv"),
        ({"activities.csv": "x", "old/activities.csv": "x"}, "holds 2 files activities.csv"),
        ({"../activities.csv": "x"}, "lies where no export has it"),
        ({"/activities.csv": "x"}, "lies where no export has it"),
        ({"a/b/activities.csv": "x"}, "lies where no export has it"),
        ({"C:/activities.csv": "x"}, "lies where no export has it"),
        ({"a\\activities.csv": "x"}, "lies where no export has it"),
        ({"activities.csv": "0" * 50_000_000}, "unpacks from .* to 50000000 bytes"),
        ({"activities.csv": ""}, "activities.csv: is empty"),
        ({"activities.csv": "athlete_id,id\n"}, "/activities.csv, line 1: has the columns 'athlete_id', 'id'"),
        ({"activities.csv": export()}, "has a header but no rows"),
    ],
)
def test_a_zip_that_is_no_export_is_refused(tmp_path: Path, members: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(InputError, match=rf"export_1\.zip.*{message}"):
        read_runs(zipped(tmp_path, members), SETTINGS)


def test_a_zip_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_file, "MAX_ZIP_ENTRIES", 2)
    path = zipped(tmp_path, {"a": "", "b": "", "activities.csv": export(RUN)})
    with pytest.raises(InputError, match="holds 3 files, more than any export"):
        read_runs(path, SETTINGS)


def test_a_zip_that_lies_about_its_size_is_not_unpacked_further(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"activities.csv": export(RUN) + "\n" * 100_000})
    honest = (len(export(RUN)) + 100_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(honest, (1000).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"export_1\.zip"):
        read_runs(path, SETTINGS)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"activities.csv": export(RUN)})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1  # the flag of the local header
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    path.write_bytes(raw)
    with pytest.raises(InputError, match="is encrypted; unpack it"):
        read_runs(path, SETTINGS)


def test_a_truncated_or_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"activities.csv": export(RUN)})
    whole = path.read_bytes()
    for size in (4, 30, len(whole) // 2, len(whole) - 1):
        with pytest.raises(InputError, match=r"export_1\.zip: is damaged or was not downloaded completely"):
            read_runs(written(tmp_path, whole[:size], "export_1.zip"), SETTINGS)
    start = whole.index(b"activities.csv") + 20
    with pytest.raises(InputError, match=r"export_1\.zip: is damaged"):
        read_runs(written(tmp_path, whole[:start] + b"\xff" * 20 + whole[start + 20 :], "export_1.zip"), SETTINGS)


# -------------------------------------------------------------------------------------------- the silver contract


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_in_the_silver_contract_is_read_whole(tmp_path: Path, suffix: str) -> None:
    rows = silver_table(silver_row(), silver_row(athlete_id="bob", id=2, workout_type=None, average_heartrate=None))
    path = tmp_path / f"runs.{suffix}"
    pq.write_table(rows, path) if suffix == "parquet" else rows.to_pandas().to_csv(path, index=False)
    before = datetime.now(timezone.utc)
    runs = read_runs(path, SETTINGS)
    assert runs.kind == "silver"
    assert runs.activities.schema == arrow_schema(tables.STRAVA_ACTIVITIES)
    assert content(runs) == [{**row, "silver_ingestion_timestamp": None} for row in rows.to_pylist()]
    assert set(runs.activities["silver_ingestion_timestamp"].to_pylist()).pop() >= before.replace(microsecond=0)
    assert len(set(runs.activities["silver_ingestion_timestamp"].to_pylist())) == 1


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_that_upstream_may_lack_are_null_and_others_are_left_out(tmp_path: Path, suffix: str) -> None:
    optional = [column.name for column in tables.STRAVA_ACTIVITIES.columns if not column.required]
    rows = silver_table(silver_row()).drop_columns([*optional, "silver_ingestion_timestamp"])
    rows = rows.append_column("name", pa.array(["Round the secret lake"]))
    path = tmp_path / f"runs.{suffix}"
    pq.write_table(rows, path) if suffix == "parquet" else rows.to_pandas().to_csv(path, index=False)
    runs = read_runs(path, SETTINGS)
    (row,) = content(runs)
    assert row == {
        **silver_row(**dict.fromkeys(optional), silver_ingestion_timestamp=None),
        "source": "file",
    }
    assert runs.notes == ("Columns that silver does not have were left out: 'name'.",)
    assert "secret" not in repr(runs.activities)


def test_splits_and_statements_are_read_too(tmp_path: Path) -> None:
    split = {"athlete_id": "ada", "activity_id": 1, "split_id": 1, "distance": 1000.0, "moving_time": 240.0}
    splits = read_runs(
        written(tmp_path, pd.DataFrame([{**split, "elapsed_time": 241.0}]).to_csv(index=False)), SETTINGS
    )
    assert splits.splits.num_rows == 1
    assert splits.splits.schema == arrow_schema(tables.STRAVA_SUB_ACTIVITY)
    athletes = read_runs(written(tmp_path, "athlete_id,birth_year,max_hr_bpm\nada,1990,188.5\n"), SETTINGS).athletes
    nothing = dict.fromkeys(tables.STRAVA_ATHLETE.column_names)
    assert athletes.to_pylist() == [{**nothing, "athlete_id": "ada", "birth_year": 1990, "max_hr_bpm": 188.5}]


def test_types_that_lose_nothing_are_converted(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "athlete_id": pa.array(["ada"]).dictionary_encode(),
            "id": pa.array([1.0, ]),
            "start_date": pa.array([date(2024, 5, 1)]),  # upstream may hold a DATE
            "start_date_local": pa.array([NOON], pa.timestamp("ns", "UTC")),  # Strava's false Z
            "sport_type": pa.array(["Run"], pa.large_string()),
            "distance": pa.array([10000], pa.int32()),
            "moving_time": pa.array([float("nan")]),
            "elapsed_time": pa.array([None]),
        }
    )  # fmt: skip
    pq.write_table(rows, tmp_path / "runs.parquet")
    (row,) = content(read_runs(tmp_path / "runs.parquet", SETTINGS))
    assert row["id"] == 1
    assert row["start_date"] == datetime(2024, 5, 1, tzinfo=timezone.utc)
    assert row["start_date_local"] == datetime(2024, 5, 1, 10)
    assert (row["distance"], row["moving_time"], row["elapsed_time"]) == (10000.0, None, None)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("distance", pa.array(["10 km"]), "column distance: is string, needed is double"),
        ("id", pa.array(["one"]), "column id: is string, needed is int64"),
        ("id", pa.array([1.5]), "column id: is double and does not fit into int64"),
        ("start_date", pa.array([1714557600]), r"column start_date: is int64, needed is timestamp\[us, tz=UTC\]"),
        ("start_date_local", pa.array([NOON], pa.timestamp("us", "Europe/Berlin")), ".*in the zone Europe/Berlin"),
        ("manual", pa.array(["yes"]), "column manual: is string, needed is bool"),
        ("athlete_id", pa.array([7]), "column athlete_id: is int64, needed is string"),
        ("distance", pa.array([[1.0]]), "column distance: is list"),
    ],
)
def test_a_parquet_column_of_a_wrong_type_is_named(tmp_path: Path, column: str, values: pa.Array, message: str) -> None:
    rows = silver_table(silver_row())
    rows = rows.set_column(rows.schema.get_field_index(column), column, values)
    pq.write_table(rows, tmp_path / "runs.parquet")
    with pytest.raises(InputError, match=rf"^runs\.parquet, {message}"):
        read_runs(tmp_path / "runs.parquet", SETTINGS)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("id", "x1", "line 3, column id: 'x1' is not an integer"),
        ("workout_type", "3000000000", "line 3, column workout_type: .*too large for 32 bits"),
        ("start_date", "01.05.2024 10:00", "line 3, column start_date: .* is not a time"),
        ("start_date_local", "2024-02-30 10:00:00", "line 3, column start_date_local: .* is not a time"),
        ("distance", "ten", "line 3, column distance: 'ten' is not a number"),
        ("manual", "perhaps", "line 3, column manual: 'perhaps' is neither true nor false"),
    ],
)
def test_a_csv_cell_of_a_wrong_type_is_named(tmp_path: Path, column: str, cell: str, message: str) -> None:
    frame = silver_table(silver_row(), silver_row(id=2)).to_pandas().astype(object)
    frame.loc[1, column] = cell
    with pytest.raises(InputError, match=rf"^runs\.csv, {message}"):
        read_runs(written(tmp_path, frame.to_csv(index=False)), SETTINGS)


@pytest.mark.parametrize(
    ("text", "utc", "local"),
    [
        ("2024-05-01 10:00:00", NOON, datetime(2024, 5, 1, 10)),
        ("2024-05-01T10:00:00Z", NOON, datetime(2024, 5, 1, 10)),
        ("2024-05-01T12:00:00+02:00", NOON, datetime(2024, 5, 1, 12)),
        ("2024-05-01 04:30:00.0-0530", NOON, datetime(2024, 5, 1, 4, 30)),
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=timezone.utc), datetime(2024, 5, 1)),
    ],
)
def test_iso_times_with_and_without_offset(tmp_path: Path, text: str, utc: datetime, local: datetime) -> None:
    frame = silver_table(silver_row()).to_pandas().astype(object)
    frame["start_date"] = frame["start_date_local"] = text
    (row,) = content(read_runs(written(tmp_path, frame.to_csv(index=False)), SETTINGS))
    assert (row["start_date"], row["start_date_local"]) == (utc, local)


def test_a_missing_required_column_is_named(tmp_path: Path) -> None:
    rows = silver_table(silver_row()).drop_columns(["moving_time"])
    pq.write_table(rows, tmp_path / "runs.parquet")
    with pytest.raises(InputError, match=r"runs\.parquet: the required column moving_time is missing"):
        read_runs(tmp_path / "runs.parquet", SETTINGS)
    with pytest.raises(InputError, match=r"runs\.csv, line 1: the required column moving_time is missing"):
        read_runs(written(tmp_path, rows.to_pandas().to_csv(index=False)), SETTINGS)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_columns_of_the_shared_runs_are_read(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame(
        {
            "athlete_id": ["a", "b"],
            "activity_id": [1, 1],
            "start_time_utc": [NOON, NOON],
            "start_time_local": [datetime(2024, 5, 1, 12)] * 2,
            "sport_type": ["Run", "running"],
            "distance_m": [5000.0, 0.0],
            "moving_time_s": [1500.0, -3.0],
            "average_heartrate": [150.0, None],
            "average_speed_mps": [3.3, 0.0],
            "elevation_gain_m": [None, 3.0],
        }
    )
    path = tmp_path / f"runs.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    runs = read_runs(path, SETTINGS)
    assert runs.kind == "runs"
    rows = content(runs)
    assert [(row["athlete_id"], row["id"], row["moving_time"], row["source"]) for row in rows] == [
        ("a", 1, 1500.0, "file"),
        ("b", 1, -3.0, "file"),
    ]
    assert [row["average_heartrate"] for row in rows] == [150.0, None]
    assert [row["total_elevation_gain"] for row in rows] == [None, 3.0]
    with pytest.raises(InputError, match="names its athletes itself"):
        read_runs(path, SETTINGS, "ada")


def test_the_shared_real_runs_are_read_whole() -> None:
    path = shared_file("data/real_runs.parquet")
    runs = read_runs(path, SETTINGS)
    assert runs.activities.num_rows == pq.ParquetFile(path).metadata.num_rows
    assert len(set(runs.activities["athlete_id"].to_pylist())) == 45
    assert runs.activities["start_date_local"].null_count == 0


# ----------------------------------------------------------------------------------------------------- other files


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as nowhere:
        read_runs(tmp_path / "nowhere.zip", SETTINGS)
    assert str(nowhere.value) == f"{tmp_path}/nowhere.zip: there is no such file in {tmp_path}; say where it lies"
    with pytest.raises(InputError, match=r"there is no folder .*/nofolder; say where the file lies"):
        read_runs(tmp_path / "nofolder" / "a.zip", SETTINGS)
    with pytest.raises(InputError, match="holds no recording"):
        read_runs(tmp_path, SETTINGS)
    written(tmp_path, export(RUN), "activities.csv")
    assert read_runs(tmp_path, SETTINGS).activities.num_rows == 1  # an export that was unpacked
    with pytest.raises(InputError, match=r"did you mean .*/activities\.csv\?"):
        read_runs(tmp_path / "activites.csv", SETTINGS)
    with pytest.raises(InputError):
        read_runs(Path("a\0b"), SETTINGS)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a regular file"):
        read_runs(tmp_path / "pipe", SETTINGS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n\n  \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (export().encode(), "has a header but no rows"),
        (b"Date,Steps\n2024-01-01,9000\n", r"line 1: has the columns 'Date', 'Steps'.*expected 'Activity ID'"),
        (b"hello", "line 1: has the columns 'hello'"),
        (export(RUN, header=[name for name in RUN if name != "Distance"]).encode(), "export but lacks .*'Distance'"),
        (b"\x00\x01\x02\x03" * 50, "holds the control character"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "holds the control character"),
        (b"PAR1 but not really", "is not a readable Parquet file"),
        (gzip.compress(b"x", mtime=0), "is compressed with gzip"),
        (b"%PDF-1.4\nstuff", "line 1"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"^runs\.csv.*{message}"):
        read_runs(written(tmp_path, data), SETTINGS)


def test_a_parquet_file_that_unpacks_to_too_many_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_file, "MAX_PARQUET_ROWS", 1)
    pq.write_table(silver_table(silver_row(), silver_row(id=2)), tmp_path / "runs.parquet")
    with pytest.raises(InputError, match=r"runs\.parquet: has 2 rows; split it"):
        read_runs(tmp_path / "runs.parquet", SETTINGS)


def test_an_empty_parquet_file_has_no_rows(tmp_path: Path) -> None:
    pq.write_table(silver_table(), tmp_path / "runs.parquet")
    with pytest.raises(InputError, match="has a header but no rows"):
        read_runs(tmp_path / "runs.parquet", SETTINGS)


def test_what_a_file_is_does_not_hang_on_its_name(tmp_path: Path) -> None:
    pq.write_table(silver_table(silver_row()), tmp_path / "runs.csv")
    assert read_runs(tmp_path / "runs.csv", SETTINGS).kind == "silver"
    assert read_runs(written(tmp_path, export(RUN), "export.zip"), SETTINGS).kind == "strava_export"


# Python 3.10 writes no CSV with a NUL; what holds one is among the arbitrary bytes
TEXT = st.text(st.characters(exclude_characters="\0" if sys.version_info < (3, 11) else ""), max_size=12)


def result_or_input_error(data: bytes) -> None:
    """Reads the bytes as a file; anything but rows in the contract or an InputError fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        try:
            runs = read_runs(path, SETTINGS)
        except InputError as error:
            sentence = str(error)
        else:
            sentence = ""
            assert runs.activities.schema == arrow_schema(tables.STRAVA_ACTIVITIES)
            assert sum(table.num_rows for table in (runs.activities, runs.splits, runs.athletes)) > 0
    assert sentence == "" or ("file" in sentence and "\n" not in sentence)


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_give_rows_or_one_sentence(data: bytes) -> None:
    result_or_input_error(data)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_an_export_with_arbitrary_cells_gives_rows_or_one_sentence(data: st.DataObject) -> None:
    cell = st.one_of(
        TEXT,
        st.sampled_from(
            ["", "1", "9,44", "1.234", "Jun 9, 2022, 11:19:20 PM", "09/06/2022 1:00:00", "true", "a m 1:2"]
        ),
        st.from_regex(r"[0-9]{1,2}[ ./-](de |)[a-z0-9]{1,4}\.?[ ./-][0-9]{2,4},? [0-9:]{3,8}( [AP]M)?", fullmatch=True),
    )
    names = st.sampled_from([name for name in RUN if name not in ("Activity Name", "Activity Description")])
    rows = data.draw(st.lists(st.dictionaries(names, cell, max_size=4), min_size=1, max_size=3))
    result_or_input_error(export(*({**RUN, **row} for row in rows)).encode("utf-8", "replace"))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_silver_csv_with_arbitrary_cells_gives_rows_or_one_sentence(data: st.DataObject) -> None:
    frame = silver_table(silver_row(), silver_row(id=2)).to_pandas().astype(object)
    cell = st.one_of(TEXT, st.sampled_from(["", "1", "1.234", "2024-05-01 10:00", "9999-12-31T23:59:59-12:00"]))
    for name, text in data.draw(st.dictionaries(st.sampled_from(list(frame.columns)), cell, max_size=4)).items():
        frame.loc[0, name] = text
    result_or_input_error(frame.to_csv(index=False).encode("utf-8", "replace"))


@given(st.sampled_from(["csv", "export", "zip", "parquet"]), st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_gives_rows_or_one_sentence(kind: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    if kind == "csv":
        whole = silver_table(silver_row()).to_pandas().to_csv(index=False).encode()
    elif kind == "export":
        whole = export(RUN).encode()
    elif kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("activities.csv", export(RUN))
        whole = buffer.getvalue()
    else:
        pq.write_table(silver_table(silver_row()), buffer)
        whole = buffer.getvalue()
    start = data.draw(st.integers(0, len(whole)))
    removed = data.draw(st.integers(0, 8))
    result_or_input_error(whole[:start] + data.draw(st.binary(max_size=8)) + whole[start + removed :])
