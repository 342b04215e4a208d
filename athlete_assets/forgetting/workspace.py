"""Forgets an athlete where the tables are Unity Catalog's: a job, because only a cluster reaches them.

The job is told the SHA-256 of the id, not the id: what a run was started with stays in the orchestrator's storage.
"""

# No `from __future__ import annotations`: Dagster reads the annotation of an op's config as it stands.

import hashlib
import re
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from athlete_assets import tables
from athlete_assets.assets.builder import OP_LAUNCHER, STORE
from athlete_assets.errors import InputError
from athlete_assets.gold.pages.site import remove_page
from athlete_assets.settings import Settings
from athlete_assets.store.sql import quoted
from athlete_assets.words import counted

if TYPE_CHECKING:
    from athlete_assets.store.unity_catalog import UnityCatalogStore

FORGET_JOB = "forget_athlete"
DERIVED = (tables.REJECTS, *tables.FEATURES, *tables.LABELS, *tables.GOLD, *tables.MONITORING)
RETENTION = "delta.deletedFileRetentionDuration"


def digest_of(athlete: str) -> str:
    """What the job is told."""
    return hashlib.sha256(athlete.encode()).hexdigest()


class WhomToForget(dg.Config):
    digest: str = Field(description="what `athlete-assets forget --athlete ID` prints: the SHA-256 of the id")


def forget_jobs(settings: Settings) -> list[dg.JobDefinition]:
    """The job `forget_athlete`; none in the local deployment, where the command line does more."""
    if settings.deployment == "local":
        return []

    @dg.op(
        name="take_out",
        description="Deletes the athlete's rows from every table but silver, and the files of earlier versions.",
        required_resource_keys={STORE, OP_LAUNCHER},
        out=dg.Out(dg.Nothing),
    )
    def take_out(context: dg.OpExecutionContext, config: WhomToForget) -> None:
        rows = erase(context.resources.store, config.digest)
        records = [dg.TableRecord({"table": name, "rows": count}) for name, count in rows.items()]
        columns = [dg.TableColumn("table", "string"), dg.TableColumn("rows", "int")]
        context.add_output_metadata({"taken out": dg.MetadataValue.table(records, schema=dg.TableSchema(columns))})

    @dg.job(
        name=FORGET_JOB,
        description="Takes an athlete out of all tables but silver, old versions included. Delete the athlete in "
        "silver first, and let nothing else write meanwhile.",
        tags={"athlete_assets/stage": "forget"},
    )
    def forget_athlete() -> None:
        take_out()

    return [forget_athlete]


def erase(store: "UnityCatalogStore", digest: str) -> dict[str, int]:
    """Deletes the athlete's rows from all tables but silver, then the files of their earlier versions; rows by table.
    The athlete's page goes, and the coach's until it is written anew.

    Raises InputError for what is no digest, and while silver holds the athlete: the rows would be computed again. May
    be killed anywhere, and be called again.
    """
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(f"{digest!r} is no SHA-256 of an id: take what `athlete-assets forget --athlete ID` prints")
    whose = f"sha2(athlete_id, 256) = '{digest}'"
    for table in tables.SILVER:
        held = store.read(table).where(whose).count()
        if held:
            raise InputError(
                f"{store.full_name(table)} still holds {counted(held, 'row')} of the athlete: silver is your "
                "pipeline's. Delete them there first, or everything is computed from them again"
            )
    rows = {}
    for table in DERIVED:
        if not store.exists(table):
            continue
        name = quoted(store.full_name(table))
        rows[store.full_name(table)] = store.read(table).where(whose).count()
        if rows[store.full_name(table)]:
            store.spark.sql(f"DELETE FROM {name} WHERE {whose}")
        store.spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('{RETENTION}' = 'interval 0 hours')")
        try:
            store.spark.sql(f"VACUUM {name}")
        finally:
            store.spark.sql(f"ALTER TABLE {name} UNSET TBLPROPERTIES IF EXISTS ('{RETENTION}')")
    remove_page(digest, store.settings)
    return rows
