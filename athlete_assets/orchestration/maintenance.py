"""The weekly maintenance: nothing that this deployment keeps grows without bound.

Tables are compacted and lose the files and log entries of old versions; Dagster loses old runs, their logs and ticks,
not what they say about the present; MLflow loses versions that nothing names; temporary folders of processes that
were killed go. Each step reports what lay there before and after.
"""

# No `from __future__ import annotations`: Dagster reads the annotation of an op's context as it stands.

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import OP_LAUNCHER, STORE, store_of
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import registry
from athlete_assets.models.old_versions import remove_old_versions
from athlete_assets.models.specs import MODELS
from athlete_assets.settings import Settings
from athlete_assets.store.base import Size
from athlete_assets.words import counted

MAINTENANCE_JOB = "maintenance"
STAGING = "staging_folder"
"""Resource key of what sweeps the folder through which steps reach a cluster; nothing where there is none."""
TEMPORARY = ("athlete_spark_*", "athlete_export_*")
"""Folders that a killed process leaves in the machine's temporary folder. A step on a cluster sweeps that one's."""
TEMPORARY_HOURS = 24 * 8
"""h since their last change after which they belong to nobody: longer than any session lives."""
COLUMNS = [
    dg.TableColumn("what", "string"),
    dg.TableColumn("files before", "int"),
    dg.TableColumn("files after", "int"),
    dg.TableColumn("MB before", "float"),
    dg.TableColumn("MB after", "float"),
    dg.TableColumn("note", "string"),
]


def maintenance_job(settings: Settings) -> dg.JobDefinition:
    """One op for each kind of thing that is kept; each goes on where another failed."""

    @dg.op(
        name="compact_tables",
        description="Joins small files; removes files and log entries that no version of ATHLETE_KEEP_VERSIONS_DAYS "
        "needs.",
        required_resource_keys={STORE, OP_LAUNCHER},
        out=dg.Out(dg.Nothing),
    )
    def compact_tables(context: dg.OpExecutionContext) -> None:
        store = store_of(context)
        records, failures = [], []
        for table in (*tables.ALL, *(tables.LOCAL if settings.deployment == "local" else ())):
            if not store.exists(table):
                continue
            try:
                done = store.maintain(table)
            except AthleteAssetsError as error:
                failures.append(str(error))
                continue
            records.append(_record(".".join(table.path), done.before, done.after, done.note))
        context.add_output_metadata({"sizes": _sizes(records)})
        if failures:
            raise dg.Failure("; ".join(failures), allow_retries=False)

    @dg.op(
        name="remove_old_runs",
        description="Removes finished runs, their logs and superseded events older than ATHLETE_KEEP_RUNS_DAYS, and "
        "old ticks. What says how assets, partitions and checks stand is kept.",
        out=dg.Out(dg.Nothing),
    )
    def old_runs(context: dg.OpExecutionContext) -> None:
        # not above: it brings SQLAlchemy and alembic, which the code location needs for nothing else
        from athlete_assets.orchestration.old_runs import compact_databases, remove_old_runs, remove_old_ticks

        folder = _dagster_folder(context.instance)
        before, cutoff = _size(folder), _days_ago(settings.keep_runs_days)
        removed = remove_old_runs(context.instance, cutoff)
        remove_old_ticks(context.instance, cutoff)
        in_use = compact_databases(_databases(folder))
        note = (
            f"{counted(removed.runs, 'run')}, {counted(removed.events, 'event')}, "
            f"{counted(removed.check_results, 'result of a check', 'results of checks')} removed"
        )
        if in_use:
            note += f"; in use, so not compacted: {', '.join(in_use)}"
        context.log.info(note)
        context.add_output_metadata({"sizes": _sizes([_record("Dagster", before, _size(folder), note)])})

    @dg.op(
        name="remove_old_models",
        description="Removes model versions that no alias names, beyond the newest ATHLETE_KEEP_MODEL_VERSIONS, and "
        "training runs without a version that are older than ATHLETE_KEEP_RUNS_DAYS.",
        out=dg.Out(dg.Nothing),
    )
    def old_models(context: dg.OpExecutionContext) -> None:
        from athlete_assets.orchestration.old_runs import compact_databases

        database, artifacts = settings.home.resolve() / "mlflow.db", settings.home.resolve() / "mlflow_artifacts"
        if not database.is_file():
            context.log.info("no model was trained yet")
            return
        before = Size.of(database, artifacts)
        names = [registry.model_name(model, settings) for model in MODELS]
        removed = remove_old_versions(names, _days_ago(settings.keep_runs_days), settings)
        compact_databases([database])
        note = f"{counted(len(removed.versions), 'version')} and {counted(removed.runs, 'run')} removed"
        context.log.info(note)
        context.add_output_metadata({"sizes": _sizes([_record("MLflow", before, Size.of(database, artifacts), note)])})

    @dg.op(
        name="sweep_temporary_folders",
        description="Removes temporary folders of processes that ended without doing so.",
        out=dg.Out(dg.Nothing),
    )
    def sweep(context: dg.OpExecutionContext) -> None:
        size = sweep_temporary_folders(Path(tempfile.gettempdir()), TEMPORARY_HOURS)
        context.add_output_metadata({"sizes": _sizes([_record("temporary folders", size, Size(0, 0), "")])})

    @dg.op(
        name="sweep_staging_folder",
        description="Removes what killed and failed steps left in the staging folder, and code that is run no more.",
        required_resource_keys={STAGING},
        out=dg.Out(dg.Nothing),
    )
    def staging(context: dg.OpExecutionContext) -> None:
        swept = context.resources.staging_folder(context.instance)
        context.log.info(f"removed: {swept}")
        context.add_output_metadata({"removed": str(swept)})

    @dg.job(
        name=MAINTENANCE_JOB,
        description="Keeps tables, runs, models and temporary folders from growing without bound.",
        tags={"athlete_assets/stage": "maintenance"},
    )
    def maintenance() -> None:
        if settings.deployment == "local" or settings.databricks_maintenance == "optimize":
            compact_tables()
        old_runs()
        if settings.deployment == "local":
            old_models()
        else:
            staging()
        sweep()

    return maintenance


def maintenance_schedule(settings: Settings) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="every_week_maintenance",
        job_name=MAINTENANCE_JOB,
        cron_schedule=settings.maintenance_cron,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compacts tables and removes what is old, so that nothing grows without bound.",
    )


def sweep_temporary_folders(parent: Path, older_than_h: float) -> Size:
    """Removes this user's TEMPORARY folders that did not change for so long; what they took."""
    swept, latest = Size(0, 0), time.time() - 3600 * older_than_h
    for folder in (folder for pattern in TEMPORARY for folder in parent.glob(pattern)):
        try:
            status = folder.lstat()
        except FileNotFoundError:
            continue
        if folder.is_dir() and not folder.is_symlink() and status.st_mtime < latest and status.st_uid == os.getuid():
            swept += Size.of(folder)
            shutil.rmtree(folder, ignore_errors=True)
    return swept


def _days_ago(days: int) -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=days)


def _dagster_folder(instance: dg.DagsterInstance) -> Path | None:
    """Where a local instance keeps its files; None for one without."""
    folder = Path(instance.root_directory)
    return folder if folder.is_dir() else None


def _databases(folder: Path | None) -> Iterable[Path]:
    """The SQLite files that stay: those of all runs together. Each run's own log goes with it."""
    if folder is None:
        return []
    files = [folder / "history" / "runs.db", folder / "history" / "runs" / "index.db", folder / "runs.db"]
    return [file for file in (*files, folder / "schedules" / "schedules.db") if file.is_file()]


def _size(folder: Path | None) -> Size:
    return Size.of(folder) if folder else Size(0, 0)


def _record(what: str, before: Size, after: Size, note: str) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "what": what,
            "files before": before.files,
            "files after": after.files,
            "MB before": round(before.bytes / 1e6, 2),
            "MB after": round(after.bytes / 1e6, 2),
            "note": note,
        }
    )


def _sizes(records: list[dg.TableRecord]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=COLUMNS))
