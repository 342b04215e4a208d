"""Runs a NumPy/Arrow kernel on whole athletes at a time, on either engine, or in this process.

Sequence mathematics (a duplicate depends on its neighbours, a threshold on the 90 days before) is one vectorised pass
over an athlete's rows, exact and cheaper than a dozen window functions. Athletes are hashed into buckets: one Python
call for each athlete costs more than its mathematics, and one call for all of them holds the whole table in memory.

A frame of kernels is a plan like any other: a cluster runs it on its workers. Where the rows come to this process
anyway, to be written by it, `computed_here` has the engine make the kernel's inputs alone (`scans` reads those that are
rows of a stored table) and runs the kernel itself.
Of 835,000 rows of performance features that saves more than half of the CPU seconds: a grouping inside the engine, and
the way of a result of 0.7 GB out of the engine through messages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets.store.scans import scanned

BUCKETS = 64
"""Python calls a table, unless `use_buckets` says otherwise: as many as suit one machine."""
ROWS_A_CALL = 25_000
"""About how many input rows a kernel gets at once in this process: what it computes of them stays in the caches, and in
memory that the process has already (with 50,000 the kernel of activities meets ten times the page faults)."""
ROWS_A_RUN = 300
"""Where a bucket's rows lie together by so many on average, as those of an import athlete by athlete do, they are
copied run by run, which takes half of the time."""
_buckets = BUCKETS

Kernel = Callable[[Mapping[str, pa.Table]], pa.Table]
KernelOfSeveral = Callable[[Mapping[str, pa.Table]], Mapping[str, pa.Table]]


def use_buckets(count: int) -> None:
    """Has this process hash the athletes into so many buckets: what a cluster's cores can do side by side."""
    global _buckets
    _buckets = count


def send_kernels_whole() -> None:
    """Has kernels travel to the workers as code instead of names, for clusters whose workers cannot import the package.

    Not where they can: a plan holds each kernel several times and is sent at every look at its columns, which with
    whole kernels takes seconds for a handful of rows.
    """
    import pyspark.cloudpickle as cloudpickle

    import athlete_assets

    cloudpickle.register_pickle_by_value(athlete_assets)


def apply_by_athlete(rows: DataFrame, kernel: Callable[[pa.Table], pa.Table], schema: str) -> DataFrame:
    """Applies the kernel to tables that each hold all rows of some athletes (of column athlete_id), in no order.

    `schema` is the DDL of what the kernel returns. A kernel must sort for itself (Sail drops a sort that comes before
    it) and must not mix athletes; the rows without an athlete_id come in one table, together with those of some.
    """
    made = _grouped(rows, kernel, schema)
    _works[made] = _Work({_ROWS: rows.toArrow}, lambda tables: {_ROWS: kernel(tables[_ROWS])}, _ROWS, {})
    return made


Input = tuple[DataFrame, Mapping[str, str]]
"""Rows of athletes, and the Spark types by name of the columns that a kernel needs of them beside athlete_id."""


@dataclass(frozen=True)
class Calls:
    """How this process calls a kernel: with about how many rows at once (None: ROWS_A_CALL), and whether several calls
    run side by side, a thread each, or one after the other."""

    rows: int | None = None
    side_by_side: bool = True


def apply_together(inputs: Mapping[str, Input], kernel: Kernel, schema: str, called: Calls = Calls()) -> DataFrame:
    """`apply_by_athlete` for a kernel over several tables: it gets them by name, each with all rows of the athletes."""
    return apply_for_several(inputs, partial(_alone, kernel=kernel), {_ROWS: schema}, called)[_ROWS]


def apply_for_several(
    inputs: Mapping[str, Input],
    kernel: KernelOfSeveral,
    schemas: Mapping[str, str],
    called: Calls = Calls(),
    hold: Callable[[DataFrame], DataFrame] | None = None,
) -> dict[str, DataFrame]:
    """`apply_together` for a kernel that makes several tables at once: a frame of each, by the names in `schemas`.

    In this process the kernel runs once for all of them. A cluster runs it whenever one of them is read or written;
    once, too, where `hold` (`Store.held`) keeps what it made: its rows then travel as one frame with a struct a table.

    The rows travel as one union, in which a column that two inputs have is one column, of one type. So every input is
    computed once: Sail has no cogroup, and joins would compute again whatever feeds both of their sides. The types
    are told, since asking a frame for its columns has the engine plan all that made it.
    """
    types: dict[str, str] = {}
    for name, type in (item for _, columns in inputs.values() for item in columns.items()):
        if types.setdefault(name, type) != type:
            raise ValueError(f"column {name} is {types[name]} in one input and {type} in another")
    united = reduce(
        DataFrame.unionAll,
        [
            rows.select(
                "athlete_id",
                F.lit(number).alias(_INPUT),
                *((F.col(name) if name in columns else F.lit(None).cast(types[name])).alias(name) for name in types),
            )
            for number, (rows, columns) in enumerate(inputs.values())
        ],
    )
    names = {name: ["athlete_id", *columns] for name, (_, columns) in inputs.items()}
    fetched = {name: partial(_fetched, rows, names[name]) for name, (rows, _) in inputs.items()}
    made, waiting = dict[str, DataFrame](), dict[str, list[pa.Table]]()
    if hold is not None:
        structs = {output: f"struct<{schema}>".replace(" NOT NULL", "") for output, schema in schemas.items()}
        as_structs = partial(_as_structs, kernel=kernel, names=names, outputs=list(schemas))
        held = hold(_grouped(united, as_structs, ", ".join(f"{output} {type}" for output, type in structs.items())))
        made = {output: held.where(F.col(output).isNotNull()).select(f"{output}.*") for output in schemas}
        _held.update(made.values())
    else:
        for output, schema in schemas.items():
            made[output] = _grouped(united, partial(_separated, kernel=kernel, names=names, output=output), schema)
    for output in schemas:
        _works[made[output]] = _Work(fetched, kernel, output, waiting, called)
    return made


def _grouped(rows: DataFrame, kernel: Callable[[pa.Table], pa.Table], schema: str) -> DataFrame:
    return rows.groupBy(F.pmod(F.hash("athlete_id"), F.lit(_buckets))).applyInArrow(kernel, schema)


def _alone(inputs: Mapping[str, pa.Table], kernel: Kernel) -> dict[str, pa.Table]:
    return {_ROWS: kernel(inputs)}


_INPUT = "__input"


def _separated(rows: pa.Table, kernel: KernelOfSeveral, names: Mapping[str, list[str]], output: str) -> pa.Table:
    return kernel(_by_input(rows, names))[output]


def _by_input(rows: pa.Table, names: Mapping[str, list[str]]) -> dict[str, pa.Table]:
    number = rows[_INPUT].to_numpy()
    return {
        name: rows.select(columns).take(pa.array(np.flatnonzero(number == of_input)))
        for of_input, (name, columns) in enumerate(names.items())
    }


def _as_structs(
    rows: pa.Table, kernel: KernelOfSeveral, names: Mapping[str, list[str]], outputs: list[str]
) -> pa.Table:
    """What the kernel makes, a row of one of its tables a row: its struct has a value, and those of the others none."""
    made = kernel(_by_input(rows, names))
    structs = {
        output: pa.StructArray.from_arrays(
            [column.combine_chunks() for column in made[output].columns], names=made[output].column_names
        )
        for output in outputs
    }
    return pa.concat_tables(
        pa.table(
            {
                output: structs[kind] if output == kind else pa.nulls(len(structs[kind]), structs[output].type)
                for output in outputs
            }
        )
        for kind in outputs
    )


def fields(structs: pa.ChunkedArray) -> pa.Table:
    """The fields of the structs, none of which is null, a column each."""
    parts = [pa.Table.from_arrays(chunk.flatten(), [one.name for one in structs.type]) for chunk in structs.chunks]
    return pa.concat_tables(parts) if parts else pa.schema(list(structs.type)).empty_table()


# ------------------------------------------------------------------------------------------------- in this process


@dataclass(frozen=True)
class _Work:
    """What makes a frame: the kernel, its inputs by name, and which of its outputs the frame is."""

    inputs: Mapping[str, Callable[[], pa.Table]]
    kernel: KernelOfSeveral
    output: str
    waiting: dict[str, list[pa.Table]]
    """What the kernel made for the other frames, until those are asked for."""
    called: Calls = Calls()


class Inputs(dict[str, pa.Table]):
    """The inputs of a call by name, and with them what the kernel found of their athletes (`cells.athletes_of`), for
    whoever looks on."""

    athletes: tuple[pa.Array, dict[str, NDArray[np.intp]]] | None = None


Look = Callable[[Mapping[str, pa.Table], pa.Table], pa.Table]


def watch(frame: DataFrame, look: Look, seen: list[pa.Table]) -> None:
    """Has `look` see the inputs of each call of the kernel that makes the frame, and what the call makes of them; what
    it says is put into `seen`. Nothing is, where the engine runs the kernel."""
    work = _works[frame]
    _works[frame] = replace(work, kernel=partial(_looked_at, work=work, look=look, seen=seen))


def _looked_at(inputs: Mapping[str, pa.Table], work: _Work, look: Look, seen: list[pa.Table]) -> Mapping[str, pa.Table]:
    made = work.kernel(inputs)
    seen.append(look(inputs, made[work.output]))
    return made


def _fetched(rows: DataFrame, columns: list[str]) -> pa.Table:
    stored = scanned(rows, columns)
    return rows.select(*columns).toArrow() if stored is None else stored


_held: WeakSet[DataFrame] = WeakSet()
"""Frames that are read of rows which `hold` keeps."""


def is_held(frame: DataFrame) -> bool:
    return frame in _held


_ROWS = "rows"
_works: WeakKeyDictionary[DataFrame, _Work] = WeakKeyDictionary()


def computed_here(frame: DataFrame) -> list[pa.Table] | None:
    """The rows of a frame as the functions above made it, in no order, a table each call of the kernel: the engine
    makes the inputs, this process the rest. None for another frame.

    The inputs lie in memory, and then what was made of them; of a kernel of several tables, each until it is asked for.
    """
    work = _works.get(frame)
    if work is None:
        return None
    if work.output not in work.waiting:
        inputs = {name: fetch() for name, fetch in work.inputs.items()}
        calls = _in_buckets(inputs, work.called.rows or ROWS_A_CALL)
        threads = _threads(os.getpid(), (os.cpu_count() or 1) if work.called.side_by_side else 1)
        run = map if len(calls) == 1 else threads.map
        made = list(run(partial(_called, kernel=work.kernel), calls))
        names = {name for tables in made for name in tables} or {work.output}
        work.waiting.update({name: [tables[name] for tables in made] for name in names})
    return work.waiting.pop(work.output)


def _called(inputs: Mapping[str, pa.Table], kernel: KernelOfSeveral) -> Mapping[str, pa.Table]:
    """What the kernel makes of the inputs of a call, each column in one piece. They are put together here, and not for
    all calls beforehand, when all rows would be in memory twice (a day of 36,412 athletes: 2.2 in place of 2.6 GB)."""
    return kernel(Inputs({name: rows.combine_chunks() for name, rows in inputs.items()}))


@lru_cache(maxsize=2)
def _threads(process: int, count: int) -> ThreadPoolExecutor:
    """The same threads for each piece of a table, since to each the system's heap keeps what it gave back: with threads
    anew, five pieces of performance features took twice the memory. (A process that was forked has none of them.)"""
    return ThreadPoolExecutor(count)


def _in_buckets(inputs: dict[str, pa.Table], rows_a_call: int) -> list[dict[str, pa.Table]]:
    """The inputs of each call: whole athletes, those without an id together."""
    rows = sum(table.num_rows for table in inputs.values())
    buckets = -(-rows // rows_a_call)
    if buckets <= 1:
        return [inputs] if rows else []
    bucket = _buckets_of(
        pa.chunked_array([c for t in inputs.values() for c in t["athlete_id"].chunks], pa.string()), buckets
    )
    parts = {}
    for name in inputs:
        table = inputs[name]
        parts[name] = _split(table, bucket[: table.num_rows], buckets)
        bucket = bucket[table.num_rows :]
    calls = ({name: tables[number] for name, tables in parts.items()} for number in range(buckets))
    return [call for call in calls if any(table.num_rows for table in call.values())]


def _buckets_of(ids: pa.ChunkedArray, buckets: int) -> NDArray[np.unsignedinteger[Any]]:
    """The bucket of each row, in the smallest type that holds it: of 16 bits and less NumPy sorts by radix."""
    coded = ids.combine_chunks().dictionary_encode()
    # neighbours by id together: a page of a file then holds few of all athletes, and a reader of one skips most pages
    place = np.empty(len(coded.dictionary), dtype=np.int64)
    place[pc.sort_indices(coded.dictionary).to_numpy()] = np.arange(len(place))
    of_athlete = (place * buckets // max(1, len(place))).astype(np.min_scalar_type(buckets))
    return of_athlete[coded.indices.fill_null(0).to_numpy()]


def _split(table: pa.Table, bucket: NDArray[np.unsignedinteger[Any]], buckets: int) -> list[pa.Table]:
    """The rows of each bucket, in their order."""
    begins = np.flatnonzero(np.diff(bucket.astype(np.int64), prepend=-1))
    if len(begins) * ROWS_A_RUN > table.num_rows:
        in_order = table.take(pa.array(np.argsort(bucket, kind="stable")))
        ends = np.cumsum(np.bincount(bucket, minlength=buckets)).tolist()
        return [in_order.slice(start, end - start) for start, end in zip([0, *ends], ends, strict=False)]
    runs: list[list[pa.Table]] = [[] for _ in range(buckets)]
    lengths = np.diff(begins, append=len(bucket))
    for number, start, length in zip(bucket[begins].tolist(), begins.tolist(), lengths.tolist(), strict=True):
        runs[number].append(table.slice(start, length))
    return [pa.concat_tables(of_bucket) if of_bucket else table.slice(0, 0) for of_bucket in runs]
