"""Files whose columns are those of a silver table, perhaps under other names: as CSV or as Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.silver.readers import csv_text
from athlete_assets.silver.readers.csv_text import Cells, CsvTable, enumerated
from athlete_assets.silver.readers.protocol import Found, Match, Part
from athlete_assets.silver.readers.source_file import SourceFile
from athlete_assets.store.arrow import ARROW_TYPES
from athlete_assets.tables import Column, Table

ID_COLUMNS = ("id", "activity_id")
SOURCE = "file"


@dataclass(frozen=True)
class ColumnReader:
    """Reads one silver table, given which columns of the file fill it. Athletes are named by the file itself.

    A source with a header of its own is one of these: its `sources`, its `units`, and whether its ids are numbers.
    """

    kind: str
    accepts: str
    table: Table
    sources: Mapping[str, str]
    """Column of the silver table to column of the file, in small letters."""
    units: Mapping[str, float] = field(default_factory=dict)
    ids: Literal["numbers", "names"] = "numbers"
    source: str | None = SOURCE
    """What silver's `source` says where the file has no such column."""
    optional: frozenset[str] = frozenset()
    """Required silver columns that the file may lack: they are null."""

    @property
    def required(self) -> list[str]:
        """The file's columns without which it is not of this kind."""
        return [
            source
            for name, source in self.sources.items()
            if self.table.column(name).required and name not in self.optional | {tables.INGESTED}
        ]

    @property
    def expects(self) -> str:
        return f"the columns {', '.join(self.required)}"

    def known(self, names: Sequence[str]) -> int:
        """How many of a header's names mean something here."""
        return sum(name.strip().lower() in self.sources.values() for name in names)

    def recognise(self, file: SourceFile) -> Match:
        names = file.header(self.known)
        present = {name.lower() for name in names}
        lacking = [name for name in self.required if name not in present]
        if names and not lacking:
            return Match()
        return Match(
            f"{file.where}: the required column {lacking[0]} is missing; found {enumerated(names)}, and "
            f"{'.'.join(self.table.path)} needs {', '.join(self.required)}",
            likeness=0.8 * (1 - len(lacking) / len(self.required)),
        )

    def read(self, file: SourceFile, settings: Settings, athlete_id: str | None) -> Found:
        if athlete_id is not None:
            raise InputError(
                f"{file.name}: names its athletes itself, so the athlete {athlete_id!r} cannot be given to it; leave "
                "it out"
            )
        names = file.header(self.known)
        extra = [name for name in names if name.lower() not in self.sources.values()]
        notes = [f"Columns that silver does not have were left out: {enumerated(extra)}."] if extra else []
        positions = self._positions(file, names)
        if file.form == "parquet":
            return self._from_parquet(file, names, positions, notes)
        table = file.table(self.known)
        return Found([Part(self.table, self._from_cells(table, positions), file.name, table.lines)], notes)

    def _positions(self, file: SourceFile, names: Sequence[str]) -> dict[str, int]:
        """Where each silver column stands in the file."""
        lower = [name.lower() for name in names]
        for source in self.sources.values():
            if lower.count(source) > 1:
                raise InputError(f"{file.where}, column {source}: stands there {lower.count(source)} times; keep one")
        return {name: lower.index(source) for name, source in self.sources.items() if source in lower}

    def type_of(self, column: Column) -> pa.DataType:
        named = column.name in ID_COLUMNS and self.ids == "names"
        return pa.string() if named else ARROW_TYPES[column.type]

    def _filled(self, column: Column, count: int) -> pa.Array:
        """A silver column that the file lacks: null, or what is true of every file."""
        if column.name == "source":
            return pa.array([self.source] * count, pa.string())
        return pa.nulls(count, self.type_of(column))

    # --------------------------------------------------------------------------------------------------------- CSV

    def _from_cells(self, table: CsvTable, positions: Mapping[str, int]) -> pa.Table:
        doubles = {
            name: table.column(position)
            for name, position in positions.items()
            if self.table.column(name).type == tables.DOUBLE
        }
        certain_mark = "." if table.delimiter == "," else None
        numbers = dict(zip(doubles, csv_text.numbers(list(doubles.values()), certain_mark), strict=True))
        columns = {}
        for column in self.table.columns:
            if column.name in numbers:
                columns[column.name] = pa.array(numbers[column.name], pa.float64())
            elif column.name in positions and column.name != tables.INGESTED:
                cells = table.column(positions[column.name])
                columns[column.name] = pa.array(self._values(cells, column), self.type_of(column))
            else:
                columns[column.name] = self._filled(column, len(table.rows))
        return pa.table(columns)

    def _values(self, cells: Cells, column: Column) -> Sequence[object]:
        type_ = self.type_of(column)
        if pa.types.is_integer(type_):
            return csv_text.integers(cells, bits=type_.bit_width)
        if pa.types.is_boolean(type_):
            return csv_text.booleans(cells)
        if pa.types.is_timestamp(type_):
            return csv_text.iso_times(cells, local=column.type == tables.LOCAL_TIMESTAMP)
        return [text or None for text in cells.texts]

    # ----------------------------------------------------------------------------------------------------- Parquet

    def _from_parquet(
        self, file: SourceFile, names: Sequence[str], positions: Mapping[str, int], notes: list[str]
    ) -> Found:
        with file.as_parquet():
            found = file.parquet.read(columns=[names[position] for position in positions.values()])
        columns = {}
        for column in self.table.columns:
            if column.name in positions and column.name != tables.INGESTED:
                name = names[positions[column.name]]
                values, note = _converted(found.column(name), self.type_of(column), f"{file.name}, column {name}")
                notes += [note] if note else []
                columns[column.name] = values
            else:
                columns[column.name] = self._filled(column, found.num_rows)
        return Found([Part(self.table, pa.table(columns), file.name, range(1, found.num_rows + 1), "row")], notes)


def _converted(found: pa.ChunkedArray, wanted: pa.DataType, where: str) -> tuple[pa.ChunkedArray, str | None]:
    """A Parquet column in the wanted type, by conversions that lose nothing; and a sentence where one was a choice.

    Raises InputError that names column, its type and the type needed.
    """
    type_, note = found.type, None
    if pa.types.is_dictionary(type_):
        found = found.cast(type_.value_type)
        type_ = found.type
    fits = (
        pa.types.is_null(type_)
        or type_ == wanted
        or (pa.types.is_string(wanted) and (pa.types.is_large_string(type_) or pa.types.is_string_view(type_)))
        or (pa.types.is_integer(wanted) and pa.types.is_integer(type_))
        or (pa.types.is_floating(wanted) and (pa.types.is_floating(type_) or pa.types.is_integer(type_)))
    )
    try:
        if fits:
            found = found.cast(wanted)
        elif pa.types.is_floating(type_) and pa.types.is_integer(wanted):  # pandas: integers with nulls
            found = _without_nan(found).cast(wanted)
        elif pa.types.is_timestamp(wanted) and pa.types.is_date(type_):
            found = found.cast(pa.timestamp("us", wanted.tz))
        elif pa.types.is_timestamp(wanted) and pa.types.is_timestamp(type_):
            utc = type_.tz is None or type_.tz.upper() in ("UTC", "Z", "ETC/UTC", "+00:00")
            if wanted.tz is None and not utc:
                raise InputError(
                    f"{where}: is a time in the zone {type_.tz} where the athlete's clock is needed; write it without "
                    "a zone"
                )
            if wanted.tz and type_.tz is None:
                note = f"Times of {where.rpartition(' ')[2]} name no zone and are taken as UTC."
            found = found.cast(pa.timestamp("us", type_.tz), safe=False).cast(wanted)
        else:
            raise InputError(f"{where}: is {type_}, needed is {wanted}; write the file again with that type")
    except pa.ArrowInvalid as error:
        raise InputError(f"{where}: is {type_} and does not fit into {wanted}: {error}") from None
    return (_without_nan(found) if pa.types.is_floating(wanted) else found), note


def _without_nan(found: pa.ChunkedArray) -> pa.ChunkedArray:
    """NaN, which pandas writes for nothing, as null."""
    return pc.if_else(pc.is_nan(found), pa.scalar(None, found.type), found)
