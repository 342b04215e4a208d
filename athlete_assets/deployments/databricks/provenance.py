"""Events of a step that ran elsewhere, told again from this instance's point of view.

The cluster's process has an empty instance: there every input looks never materialised and a check's target is a
record that exists nowhere. What the process could not know is filled in here, exactly as dagster does for a step that
runs in the orchestrator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dagster import AssetCheckEvaluation, AssetCheckResult, AssetKey, DagsterEventType, DataVersion
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    INPUT_EVENT_POINTER_TAG_PREFIX,
    compute_logical_data_version,
)
from dagster._core.execution.plan.execute_step import _build_data_version_tags, _get_input_provenance_data
from dagster_shared.record import replace

if TYPE_CHECKING:
    from dagster import DagsterEvent
    from dagster._core.events.log import EventLogEntry
    from dagster._core.execution.context.system import StepExecutionContext

REPLACED = (INPUT_DATA_VERSION_TAG_PREFIX, INPUT_EVENT_POINTER_TAG_PREFIX, DATA_VERSION_TAG)


class Provenance:
    """The inputs of one step attempt as this instance knew them when the step began."""

    def __init__(self, step_context: StepExecutionContext) -> None:
        self.step_context = step_context
        self._version_tags: dict[AssetKey, Mapping[str, str]] = {}
        if step_context.is_sda_step:
            step_context.fetch_external_input_asset_version_info()

    def of(self, entry: EventLogEntry) -> EventLogEntry:
        """The entry with this instance's data versions, event pointers and check targets."""
        event = entry.dagster_event
        if event is None or not self.step_context.is_sda_step:
            return entry
        if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            return entry._replace(dagster_event=self._materialization(event))
        if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            return entry._replace(dagster_event=self._evaluation(event))
        return entry

    def _materialization(self, event: DagsterEvent) -> DagsterEvent:
        data = event.step_materialization_data
        materialization = data.materialization
        tags = materialization.tags or {}
        if CODE_VERSION_TAG not in tags or DATA_VERSION_TAG not in tags:
            return event
        key = materialization.asset_key
        if key not in self._version_tags:  # once for all partitions of a range: a later one must not see an earlier one
            self._version_tags[key] = self._versions(key, tags)
        self.step_context.wipe_input_asset_version_info(key)
        kept = {name: value for name, value in tags.items() if not name.startswith(REPLACED)}
        told = materialization._replace(tags={**kept, **self._version_tags[key]})
        return event._replace(event_specific_data=data._replace(materialization=told))

    def _versions(self, key: AssetKey, tags: Mapping[str, str]) -> Mapping[str, str]:
        inputs = _get_input_provenance_data(key, self.step_context)
        by_user = tags.get(DATA_VERSION_IS_USER_PROVIDED_TAG) == "true"
        version = (
            DataVersion(tags[DATA_VERSION_TAG])
            if by_user
            else compute_logical_data_version(
                tags[CODE_VERSION_TAG], {name: known["data_version"] for name, known in inputs.items()}
            )
        )
        if not self.step_context.has_data_version(key):
            self.step_context.set_data_version(key, version)
        return _build_data_version_tags(version, tags[CODE_VERSION_TAG], inputs, by_user)

    def _evaluation(self, event: DagsterEvent) -> DagsterEvent:
        evaluation = event.event_specific_data
        assert isinstance(evaluation, AssetCheckEvaluation)
        target = AssetCheckResult(passed=evaluation.passed)._get_target_materialization_data(
            self.step_context, evaluation.asset_check_key
        )
        return event._replace(event_specific_data=replace(evaluation, target_materialization_data=target))
