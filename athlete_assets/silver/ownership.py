"""Whose rows an import may touch: two persons in one home stay two athletes; what is gone at the source is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.silver.imports import ImportedRuns
from athlete_assets.silver.readers import apple_health, garmin_export, strava_export
from athlete_assets.silver.readers.csv_text import enumerated
from athlete_assets.store.local import LocalStore
from athlete_assets.words import counted, verb

ACCOUNTS = (strava_export.SOURCE, garmin_export.SOURCE, apple_health.SOURCE)
SAME_PERSON_SHARE = 0.5
"""Of the activities that two imports have in common by id: so many with equal starts are one person's."""


def refuse_strangers(store: LocalStore, runs: ImportedRuns) -> None:
    """Raises InputError where nobody said whose an account's activities are, and the home makes it doubtful.

    In doubt: Apple Health's, which never names anybody, in a home of other athletes; an export without a name that
    shares no activity with what is here under the same default name, or gives equal ids other starts; and one whose
    activities are here already under another name.
    """
    if runs.owner in (None, "caller") or not store.exists(tables.STRAVA_ACTIVITIES):
        return
    (athlete,) = pc.unique(runs.activities["athlete_id"]).to_pylist() or (None,)
    here = _account_rows(store)
    starts = dict(zip(runs.activities["id"].to_pylist(), runs.activities["start_date"].to_pylist(), strict=True))
    moments = set(starts.values()) - {None}  # another service has other ids for the same activities
    equal: dict[str, int] = {}
    for name, start in zip(*(here[column].to_pylist() for column in ("athlete_id", "start_date")), strict=True):
        equal[name] = equal.get(name, 0) + (start in moments)
    for name, count in equal.items():
        if name != athlete and count >= SAME_PERSON_SHARE * len(starts):
            raise InputError(
                f"{count} of {counted(len(starts), 'activity')} {verb(count, 'is', 'are')} in this home already, as "
                f"those of {name!r}, and the file is of {athlete!r}; give --athlete {name} to go on with that name, or "
                f"--athlete {athlete} to have both"
            )
    if runs.owner == "nobody" and runs.kind == apple_health.SOURCE and equal and athlete not in equal:
        one = next(iter(equal)) if len(equal) == 1 else "ID"
        raise InputError(
            f"the file does not say whose activities it holds, and this home is of {enumerated(sorted(equal))}; give "
            f"--athlete {one} where they are the same person's, or --athlete {athlete}"
        )
    if runs.owner == "nobody" and athlete in equal:
        ids = here.filter(pc.equal(here["athlete_id"], athlete))["id"].to_pylist()
        shared = len(set(ids) & starts.keys())
        if not shared or equal[athlete] < SAME_PERSON_SHARE * shared:
            raise InputError(
                f"the file does not say whose activities it holds, and {equal[athlete]} of them are among the "
                f"{len(ids)} of {athlete!r} that are here; give --athlete {athlete} where they are the same person's, "
                "else another name"
            )


def with_own_word(store: LocalStore, runs: ImportedRuns) -> ImportedRuns:
    """The import, with what an athlete has stated here before in place of what an account's profile says."""
    if not runs.is_whole_account or not runs.athletes.num_rows or not store.exists(tables.STRAVA_ATHLETE):
        return runs
    stated = {
        row["athlete_id"]: row
        for row in store.rows(tables.STRAVA_ATHLETE).to_pylist()
        if row["valid_from"] is None and row["source"] is None
    }
    rows = [
        {
            name: before if (before := stated.get(row["athlete_id"], {}).get(name)) is not None else value
            for name, value in row.items()
        }
        for row in runs.athletes.to_pylist()
    ]
    return replace(runs, athletes=pa.Table.from_pylist(rows, runs.athletes.schema))


def no_longer_there(store: LocalStore, runs: ImportedRuns) -> list[int]:
    """Ids of the athlete's activities that earlier exports of the whole account brought and this one lacks."""
    if not runs.is_whole_account or not store.exists(tables.STRAVA_ACTIVITIES):
        return []
    here = _account_rows(store, [runs.kind])
    here = here.filter(pc.is_in(here["athlete_id"], pc.unique(runs.activities["athlete_id"])))
    return sorted(set(here["id"].drop_null().to_pylist()) - set(runs.activities["id"].to_pylist()))


_COLUMNS = ("athlete_id", "id", "start_date")


def _account_rows(store: LocalStore, kinds: Sequence[str] = ACCOUNTS) -> pa.Table:
    """Keys and starts of the rows that exports of accounts brought; a kind of export is its rows' source, too."""
    rows = store.rows(tables.STRAVA_ACTIVITIES, [*_COLUMNS, "source"])
    return rows.filter(pc.is_in(rows["source"], pa.array(kinds, pa.string()))).select(list(_COLUMNS))
