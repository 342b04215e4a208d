"""The Dagster side of a table contract: a decorator for assets that write windows of tables, and their results."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce, wraps
from itertools import combinations
from operator import add
from typing import Any

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.freshness import freshness_policy
from athlete_assets.assets.source_code import code_references, code_version
from athlete_assets.days import Days
from athlete_assets.errors import StoreError
from athlete_assets.monitoring.checks import Check, CheckOutcome, contract_outcomes
from athlete_assets.partitions import athletes_of
from athlete_assets.settings import Settings
from athlete_assets.store.athletes import EVERYONE, ID
from athlete_assets.store.base import Store, Written
from athlete_assets.store.findings import Findings, keys_tell_their_window
from athlete_assets.store.pieces import athletes_with_activities, pieces, rows_at_once
from athlete_assets.tables import Table
from athlete_assets.words import counted

OWNERS = ["team:athlete-data"]
Results = Callable[[dg.AssetExecutionContext], Iterable[dg.MaterializeResult]]
STORE, FEATURE_STORE = "store", "feature_store"
SILVER = "silver"
"""Resource key of the silver tables as `silver_changes` sees them: the name of its parameter."""
STEP_LAUNCHER = "pyspark_step_launcher"
"""Resource key of the launcher of assets' steps: a no-op locally, a Databricks run a step in production."""
OP_LAUNCHER = "op_step_launcher"
"""The same for ops that are no assets; it is one in production whatever door the assets take."""
PIPES = "pipes"
"""Resource key of what runs an asset's body elsewhere and gives its results; None where the body runs by itself."""


def store_of(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Store:
    """The deployment's tables. Asked of the context: Dagster takes a step launcher by resource key or not at all."""
    store: Store = context.resources.store
    return store


def store_of_run(context: dg.AssetExecutionContext) -> Store:
    """The same with the rows of the run's athletes alone, where it is about some of them: an athlete's rows rest on no
    other one's, so a step computes, replaces, and ties out theirs as if there were no others."""
    return store_of(context).among(athletes_of(context.run))


def results_of(
    context: dg.AssetExecutionContext, body: Callable[[], Iterable[dg.MaterializeResult]]
) -> Iterable[dg.MaterializeResult]:
    """What an asset's body gives, run in this process or, where the deployment has Pipes as its door, on a cluster."""
    pipes = context.resources.pipes
    results: Iterable[dg.MaterializeResult] = pipes.results(context) if pipes else body()
    return results


def asset_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey(list(table.path))


def table_spec(table: Table, settings: Settings, **attributes: Any) -> dg.AssetSpec:
    """The asset of a table: key, description, owners, kinds, and the contract as column schema."""
    attributes.setdefault("group_name", table.schema)
    attributes.setdefault("kinds", {"delta", "pyspark"})
    attributes.setdefault("owners", OWNERS)
    attributes.setdefault("freshness_policy", freshness_policy(table, settings))
    return dg.AssetSpec(
        asset_key(table),
        description=table.comment,
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.full_name(settings.catalog),
            "keys": ", ".join(table.keys),
            **attributes.pop("metadata", {}),
        },
        **attributes,
    )


def page_link(settings: Settings, page: str = "index.html") -> dict[str, Any]:
    """Metadata that links a page of `gold.pages`; none where no address is known at which a browser finds it."""
    address = settings.pages_address
    return {"page": dg.MetadataValue.url(f"{address}/{page}")} if address else {}


def column_schema(table: Table) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=f"{column.comment} [{column.unit}]" if column.unit else column.comment,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.keys == (column.name,)),
            )
            for column in table.columns
        ]
    )


def table_asset(
    settings: Settings,
    specs: Sequence[dg.AssetSpec],
    *,
    checks: Sequence[dg.AssetCheckSpec] = (),
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    resources: Iterable[str] = (),
    **options: Any,
) -> Callable[[Results], dg.AssetsDefinition]:
    """Decorates a function that writes one or more tables: a range of partitions is one run and one launched step.

    The function yields a MaterializeResult with its check results for each table. A run may select fewer of the tables
    or checks: then the others are not reported. In a run of checks alone `is_materializing`
    is false, and nothing is written. The step fails where a selected check got no result, or one that is not declared.
    """

    def decorate(write: Results) -> dg.AssetsDefinition:
        declared = {dg.AssetCheckKey(spec.asset_key, spec.name) for spec in checks}

        @wraps(write)
        def step(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            selected = context.selected_asset_check_keys
            reported: set[dg.AssetCheckKey] = set()
            with store_retries(context, settings):
                for result in results_of(context, lambda: write(context)):
                    evaluations = {_key(check): check for check in result.check_results or []}
                    _refuse(evaluations.keys() - declared, "has a result and is not declared for this step")
                    reported |= evaluations.keys()
                    kept = [check for key, check in evaluations.items() if key in selected]
                    if result.asset_key in context.selected_asset_keys:
                        yield result._replace(check_results=kept)
                    else:
                        yield from kept
            _refuse(selected - reported, "is declared and selected, and the step reported no result of it")

        # Dagster reads the annotations of the step, not of the function that it wraps
        step.__annotations__ = {"context": dg.AssetExecutionContext}
        return dg.multi_asset(
            specs=[_with_source_code(spec, write, settings) for spec in specs],
            check_specs=list(checks),
            can_subset=True,
            partitions_def=partitions_def,
            backfill_policy=dg.BackfillPolicy.single_run() if partitions_def else None,
            pool=specs[0].key.path[-1],  # one step at a time writes a table, in whichever run
            required_resource_keys={STORE, STEP_LAUNCHER, PIPES, *resources},
            **options,
        )(step)

    return decorate


def _with_source_code(spec: dg.AssetSpec, write: Results, settings: Settings) -> dg.AssetSpec:
    return spec.replace_attributes(
        code_version=code_version(write, settings, spec.metadata["dagster/column_schema"]),
        metadata={**spec.metadata, **code_references(write, settings)},
    )


def _refuse(keys: Iterable[dg.AssetCheckKey], why: str) -> None:
    """Raises for the first of the checks: a promise that nobody keeps must not look kept."""
    for key in sorted(keys, key=str):
        raise dg.DagsterInvariantViolationError(f"{key.asset_key.to_user_string()}: check {key.name!r} {why}")


@contextmanager
def store_retries(context: dg.AssetExecutionContext, settings: Settings) -> Iterator[None]:
    """Has the step tried again where its store failed, later each time."""
    try:
        yield
    except StoreError as error:
        # The one failure that may pass by itself; a wrong row would be wrong again.
        seconds = settings.store_retry_s * 2**context.retry_number * random.uniform(0.8, 1.2)
        raise dg.RetryRequested(max_retries=settings.store_retries, seconds_to_wait=seconds) from error


def is_materializing(context: dg.AssetExecutionContext) -> bool:
    """Whether the run materialises a table of this step, or only evaluates checks of what is stored."""
    return bool(context.selected_asset_keys)


def _key(check: dg.AssetCheckResult) -> dg.AssetCheckKey:
    assert check.asset_key is not None
    assert check.check_name is not None
    return dg.AssetCheckKey(check.asset_key, check.check_name)


def check_specs(table: Table, checks: Iterable[Check]) -> list[dg.AssetCheckSpec]:
    """Specs of the checks that the writing step itself evaluates.

    Without partitions of their own: Dagster 1.13 plans a partitioned check for each day of a range, stores one result
    without a day, and leaves all those days as planned for ever (pinned by a test). The days are the run's.
    """
    return [
        dg.AssetCheckSpec(check.name, asset=asset_key(table), description=check.description, blocking=check.blocking)
        for check in checks
    ]


def materialize_result(
    store: Store,
    table: Table,
    days: Days | None = None,
    *,
    written: Sequence[Written] = (),
    outcomes: Sequence[CheckOutcome] = (),
    **metadata: Any,
) -> dg.MaterializeResult:
    """The materialisation of a table's window (the whole table without days), with its checks.

    written: the commits that made up the window. Their content is the data version: what rests on the table is out of
    date where its rows changed, not where they were written once more.
    """
    findings = _findings(store, table, days, written)
    contract = contract_outcomes(table, store.read(table, days).dtypes, findings)
    return dg.MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "dagster/row_count" if days is None else "rows_in_window": findings.rows,
            "delta_version": store.version(table),
            **metadata,
        },
        check_results=[check_result(table, outcome) for outcome in (*contract, *outcomes)],
        data_version=_data_version(written, store),
    )


def _findings(store: Store, table: Table, days: Days | None, written: Sequence[Written]) -> Findings:
    """What the contract says of the window's rows: as found when they were written, where they are what is stored.

    Read back are the rows of a run of checks alone, of a window of which more or less is stored than was written (the
    rejects outside the calendar, a log), and of several commits the keys that may stand in two of them.
    """
    found = reduce(add, written).findings if written else None
    if found is None or found.rows != store.count(table, days):
        return store.findings(table, days)
    if not keys_tell_their_window(table) and not _of_different_athletes(written, table):
        return replace(found, repeated_keys=store.repeated_keys(table, days))
    return found


def _of_different_athletes(written: Sequence[Written], table: Table) -> bool:
    """Whether no athlete's rows, and so no key, can stand in two of the commits."""
    whose = [one.athletes for one in written]
    return len(written) == 1 or (
        ID in table.keys
        and all(
            one is not None and other is not None and one.surely_apart(other) for one, other in combinations(whose, 2)
        )
    )


def _data_version(written: Sequence[Written], store: Store) -> dg.DataVersion | None:
    """Of some athletes' rows the content says nothing of the whole window's, so each such write is a version of its
    own: what rests on the table is then at worst called out of date though it is not, never the other way round."""
    total = reduce(add, written) if written else None
    if total is None or total.data_version is None:
        return None
    return dg.DataVersion(total.data_version if store.athletes is None else f"{total.data_version}@{total.version}")


def check_result(table: Table, outcome: CheckOutcome) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if outcome.check.severity == "error" else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=outcome.passed,
        asset_key=asset_key(table),
        check_name=outcome.check.name,
        severity=severity,
        description=outcome.sentence,
        metadata=dict(outcome.numbers),
    )


def in_pieces(context: dg.AssetExecutionContext, store: Store, table: Table, days: Days) -> Iterator[Store]:
    """`pieces`, a commit each; the run's log says how far it is. None in a run of checks alone."""
    if not is_materializing(context):
        return
    parts = pieces(store, table, days)
    for number, part in enumerate(parts, start=1):
        yield part
        context.log.info(f"{number} of {counted(len(parts), 'piece')} done ({part.athletes or EVERYONE}, {days})")


def commit_windows(context: dg.AssetExecutionContext, store: Store, days: Days) -> Iterator[Days]:
    """The windows in which the days are written, one commit each, oldest first; the run's log says how far it is.

    For what needs nothing of the days before. A window holds whole weeks, at least 5, and about as many rows of the
    widest daily table as memory holds. In a run of checks alone there are none.
    """
    if not is_materializing(context):
        return
    rows = rows_at_once(store.settings, tables.PERFORMANCE)
    weeks = max(5, rows // (7 * max(1, len(athletes_with_activities(store)))))
    done = 0
    for window in days.chunks(7 * weeks):
        yield window
        done += len(window)
        context.log.info(f"{done} of {counted(len(days), 'day')} done ({window})")
