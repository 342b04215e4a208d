"""A check is declared once; a declared check without a result, or a result that nobody declared, fails the step."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pytest

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import (
    PIPES,
    STEP_LAUNCHER,
    STORE,
    asset_key,
    check_result,
    check_specs,
    table_asset,
    table_spec,
)
from athlete_assets.monitoring import anomalies, checks, drift, reconciliation
from athlete_assets.monitoring.checks import Check
from athlete_assets.settings import Settings

SUMMARY = asset_key(tables.METRICS_SUMMARY)
GOOD, STRICT = Check("good", "It is good."), Check("strict", "It is strict.")
MILD = Check("mild", "It is mild.", severity="warning", blocking=False)
NOTHING = dg.ResourceDefinition.none_resource()


def run(
    declared: Sequence[Check], reported: Sequence[Check], passed: bool = True, only: Check | None = None
) -> dg.ExecuteInProcessResult:
    """The run of a step that declares some checks and reports some; of one check alone where asked for."""
    settings = Settings()

    @table_asset(
        settings,
        [table_spec(tables.METRICS_SUMMARY, settings)],
        checks=check_specs(tables.METRICS_SUMMARY, declared),
    )
    def summary(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        outcomes = [check.outcome(passed, "said", {"rows": 1}) for check in reported]
        results = [check_result(tables.METRICS_SUMMARY, outcome) for outcome in outcomes]
        yield dg.MaterializeResult(asset_key=SUMMARY, check_results=results)

    selection: Any = dg.AssetSelection.checks(dg.AssetCheckKey(SUMMARY, only.name)) if only else None
    return dg.materialize(
        [summary],
        resources=dict.fromkeys((STORE, STEP_LAUNCHER, PIPES), NOTHING),
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
        selection=selection,
    )


def message(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    return str(failure.step_failure_data.error_display_string)


def test_what_is_declared_and_reported_stands_in_the_run() -> None:
    result = run([GOOD, MILD], [GOOD, MILD])
    assert result.success
    assert {one.check_name for one in result.get_asset_check_evaluations()} == {"good", "mild"}


def test_a_declared_check_without_a_result_fails_the_step_and_is_named() -> None:
    result = run([GOOD, STRICT], [GOOD])
    assert not result.success
    assert "gold/athlete_metrics_summary: check 'strict' is declared and selected" in message(result)


def test_a_result_that_nobody_declared_fails_the_step_and_is_named() -> None:
    result = run([GOOD], [GOOD, STRICT])
    assert not result.success
    assert "gold/athlete_metrics_summary: check 'strict' has a result and is not declared" in message(result)


def test_a_run_of_one_check_asks_for_no_other() -> None:
    result = run([GOOD, STRICT], [GOOD], only=GOOD)
    assert result.success
    assert [one.check_name for one in result.get_asset_check_evaluations()] == ["good"]


@pytest.mark.parametrize(("check", "success"), [(STRICT, False), (MILD, True)])
def test_severity_and_blocking_are_those_of_the_declaration(check: Check, success: bool) -> None:
    result = run([check], [check], passed=False)
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.severity.value == ("ERROR" if check.severity == "error" else "WARN")
    assert result.success is success


def declarations() -> set[Check]:
    modules = (checks, reconciliation, anomalies, drift)
    return {value for module in modules for value in vars(module).values() if isinstance(value, Check)}


def test_every_declared_check_stands_on_an_asset_with_its_own_words() -> None:
    built = definitions.build(Settings())
    on_assets = {
        (spec.name, spec.description)
        for assets in built.resolve_asset_graph().assets_defs
        for spec in assets.check_specs
    }
    assert {(check.name, check.description) for check in declarations()} <= on_assets
    names = [check.name for check in declarations()]
    assert len(names) == len(set(names))
