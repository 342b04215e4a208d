"""Makes stored tables anew: one whose contract has changed (`rebuild`), or what damaged files have lost (`repair`)."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Mapping, Sequence
from datetime import date

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.days import Days, merged
from athlete_assets.deployments.in_process import executed
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.errors import InputError
from athlete_assets.settings import Settings
from athlete_assets.store.base import is_derived
from athlete_assets.store.delta_folder import DeltaFolder
from athlete_assets.store.local import LocalStore
from athlete_assets.store.repair import Damage, damage_of, mend
from athlete_assets.tables import Table
from athlete_assets.terminal import say
from athlete_assets.words import counted, nearest

RECORDS = (tables.PREDICTIONS, tables.INFERENCE_LOG)
"""What was said at its time: no run can make these rows again, so a rebuild keeps them."""


def table_named(name: str) -> Table:
    """The derived table `name` or `schema.name`; raises InputError for another name, and for a silver table."""
    found = [table for table in tables.ALL if name in (table.name, ".".join(table.path))]
    derived = [table for table in found if is_derived(table)]
    if not found:
        known = [".".join(table.path) for table in tables.ALL if is_derived(table)]
        raise InputError(f"there is no table {name}; {nearest(name, known, 'the tables that can be made anew are')}")
    if not derived:
        raise InputError(f"{name}: silver comes from upstream and is never made anew here; import it again instead")
    return derived[0]


def rebuild(name: str, settings: Settings) -> int:
    """Empties a derived table, gives it its contract's columns, and materialises its whole range.

    Predictions, their log and their outcomes are kept: their rows go into the new columns, as far as those hold them. 0
    when all went well, else 1; then the table is in part empty, and the command is to be repeated. Raises InputError
    for a table that does not exist or is silver, and in a home without activities.
    """
    table = table_named(name)
    store = LocalStore(settings)
    if not store.exists(tables.STRAVA_ACTIVITIES):
        raise InputError(f"there are no activities in {settings.home} to make {name} from; import a file first")
    if table in (*RECORDS, tables.PREDICTION_OUTCOMES):  # an outcome keeps the day from which it was known
        kept = store.carry_over(table)
        say(f"{'.'.join(table.path)}: {counted(kept, 'row')} kept in the columns of the contract")
        return 0
    store.reset(table)
    say(f"{'.'.join(table.path)} is empty, with the columns of its contract; earlier versions are kept")
    if _materialise({table: [None]}, settings):
        say("What rests on it follows at the next tick of `tables_follow`, or with `athlete-assets run`.")
        return 0
    say(f"`athlete-assets rebuild {'.'.join(table.path)}` has to be repeated")
    return 1


def repair(settings: Settings, dry_run: bool = False) -> int:
    """Mends every damaged table of the home, and computes anew what was lost with the damaged files.

    0 where nothing was damaged or all of it is healed; 1 where something is left to do, which the last lines name, and
    in a dry run where anything is damaged.
    """
    store = LocalStore(settings)
    found = [damage for folder in _folders(store) if (damage := damage_of(folder))]
    for damage in found:
        say(f"{damage.folder.name}: {damage}")
    if not found:
        say(f"No table in {settings.home} is damaged.")
        return 0
    if dry_run:
        return 1
    of_path = {store.path(table): table for table in tables.ALL}
    lost: dict[Table, Sequence[str | None]] = {}
    left: list[str] = []
    for damage in found:
        mended, table = mend(damage.folder), of_path.get(damage.folder.path)
        say(f"{damage.folder.name}: mended; what could not be read was moved aside, not deleted")
        if table is None or not is_derived(table) or table in RECORDS:
            left.append(f"{damage.folder.name}: {_lost_for_good(table, mended)}")
        else:
            # which rows a broken commit wrote is not known: every month may lack some
            lost[table] = [None] if mended.log_files else mended.months
    silver_is_whole = not any(damage.folder.path == store.path(table) for damage in found for table in tables.SILVER)
    if lost and not (silver_is_whole and _materialise(lost, settings)):
        when = "the failed run's cause is gone" if silver_is_whole else "silver is whole again"
        left += [f"when {when}: athlete-assets rebuild {'.'.join(table.path)}" for table in lost]
    for line in left:
        say(line)
    return 1 if left else 0


def _lost_for_good(table: Table | None, damage: Damage) -> str:
    which = "all rows" if damage.last_good is None else "rows"
    if damage.months and None not in damage.months:
        which = f"rows of {', '.join(map(str, damage.months))}"
    if table is None:
        return f"{which} are lost; no asset of this product writes the table"
    if not is_derived(table):
        return f"{which} are lost; import the files that they came from again (rows that are there stay as they are)"
    return f"{which} are lost for good: they were what was predicted then, and no run can make them again"


def _folders(store: LocalStore) -> list[DeltaFolder]:
    """The contract's tables in the order in which they rest on each other, then whatever else lies in the catalog."""
    known = [store.folder(table) for table in tables.ALL]
    root = store.settings.home.resolve() / store.settings.catalog
    others = sorted({log.parent for log in root.glob("*/*/_delta_log")} - {folder.path for folder in known})
    return [
        *known,
        *(DeltaFolder(path, f"{path.parent.name}.{path.name}") for path in others if "_damaged" not in path.name),
    ]


def _materialise(months: Mapping[Table, Sequence[str | None]], settings: Settings) -> bool:
    """Materialises the months of each table (all for None), one table after the other; whether all went well."""
    from athlete_assets import definitions

    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(settings))
    built = definitions.build(settings)
    everything = built.resolve_implicit_global_asset_job_def()
    for table, wanted in months.items():
        job = everything.get_subset(asset_selection={asset_key(table)})
        for span in _spans(built.resolve_assets_def(asset_key(table)).partitions_def, wanted):
            started = time.monotonic()
            say(f"{'.'.join(table.path)}" + (f", {span[0]} to {span[1]}" if span else ""))
            if not executed(job, say, span).success:
                return False
            say(f"  done in {time.monotonic() - started:.1f} s")
    return True


def _spans(
    partitions: dg.PartitionsDefinition[str] | None, months: Sequence[str | None]
) -> list[tuple[str, str] | None]:
    """First and last partition of the runs that write the months; [None] for an asset without partitions."""
    if partitions is None:
        return [None]
    keys = partitions.get_partition_keys()
    if None in months or tables.OUTSIDE_CALENDAR in months:
        return [(keys[0], keys[-1])]
    spans: list[tuple[str, str] | None] = []
    for window in merged(_month(str(month)) for month in months):
        inside = [key for key in keys if str(window.first) <= key <= str(window.last)]
        if inside:
            spans.append((inside[0], inside[-1]))
    return spans


def _month(text: str) -> Days:
    year, month = map(int, text.split("-"))
    return Days(date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))
