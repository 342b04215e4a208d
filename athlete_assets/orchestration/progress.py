"""A Dagster logger for people at a terminal: one line for each step, and what the assets say of their progress."""

from __future__ import annotations

import logging
import sys
from typing import Any

import dagster as dg

from athlete_assets.orchestration.waiting import waits_for_pool

SHOWN_EVENTS = {"STEP_START": "{step} ...", "STEP_FAILURE": "{step} FAILED"}


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event, step = meta.get("dagster_event"), meta.get("step_key")
        if event is None:
            if record.levelno >= logging.INFO and step:
                print(f"    {meta.get('orig_message', record.getMessage())}", file=sys.stdout, flush=True)
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.event_specific_data
            if not check.passed:
                verdict = "warns" if check.severity == dg.AssetCheckSeverity.WARN else "FAILED"
                print(f"    check {check.check_name} {verdict}: {check.description}", flush=True)
        elif event.is_engine_event:
            pool = event.engine_event_data.metadata.get("pool")
            if isinstance(pool, dg.PoolMetadataValue):
                with dg.DagsterInstance.get() as instance:
                    print(f"  {step} {waits_for_pool(instance, pool.pool)}", flush=True)
        elif event.event_type_value == "STEP_FAILURE" and is_interrupt(event.event_specific_data.error):
            print(f"  {step} interrupted", flush=True)
        elif event.event_type_value in SHOWN_EVENTS:
            print(f"  {SHOWN_EVENTS[event.event_type_value].format(step=step)}", file=sys.stdout, flush=True)
            if event.event_type_value == "STEP_FAILURE":
                print(f"    {_root_cause(event.event_specific_data.error)}", flush=True)


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
