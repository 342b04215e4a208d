"""A Dagster logger for people at a terminal: one line for each step, and what the assets say of their progress."""

from __future__ import annotations

import logging
from typing import Any

import dagster as dg

from athlete_assets.orchestration.waiting import waits_for_pool
from athlete_assets.terminal import coloured, say, standing_bar

ENDS = {"STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED"}


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event, step = meta.get("dagster_event"), meta.get("step_key")
        if event is None:
            if record.levelno >= logging.INFO and step:
                say(f"    {meta.get('orig_message', record.getMessage())}")
            return
        kind, details = event.event_type_value, event.event_specific_data
        if kind == "ASSET_CHECK_EVALUATION" and not details.passed:
            warns = details.severity == dg.AssetCheckSeverity.WARN
            verdict = coloured("warns", "yellow") if warns else coloured("FAILED", "red")
            say(f"    check {details.check_name} {verdict}: {details.description}")
        elif event.is_engine_event:
            pool = event.engine_event_data.metadata.get("pool")
            if isinstance(pool, dg.PoolMetadataValue):
                with dg.DagsterInstance.get() as instance:
                    say(f"  {step} {waits_for_pool(instance, pool.pool)}")
        elif kind == "STEP_START":
            standing_bar().tell(str(step))
            say(f"  {step} ...")
        elif kind == "STEP_FAILURE" and is_interrupt(details.error):
            say(f"  {step} interrupted")
        elif kind == "STEP_FAILURE":
            say(f"  {step} {coloured('FAILED', 'red')}")
            say(f"    {_root_cause(details.error)}")
        if kind in ENDS:
            standing_bar().step()


def is_interrupt(error: Any) -> bool:
    """Whether a step's error is that somebody ended it: Dagster knows no other outcome of a run in this process."""
    return error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__


def _root_cause(error: Any) -> str:
    """The innermost error's own words: Dagster's sentence around it only says that the step failed."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "its upstream step failed"


@dg.logger(None, description="One line a step, for people at a terminal")
def progress_logger(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("progress", level=logging.DEBUG)
    logger.addHandler(_Lines())
    return logger
