"""Assets whose behaviour a run's tags script. Each writes what it did to the folder in SMALL_OUT."""

import json
import os
import sys
import time

import dagster as dg

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-03-01")
TEAMS = dg.DynamicPartitionsDefinition(name="teams")
LAUNCHER = None
"""What a test puts here launches the steps; inside a step's process nothing does."""
DOOR = None


@dg.resource
def launcher(_):
    if os.environ.get("ATHLETE_DATABRICKS_ON_CLUSTER"):
        return None
    if LAUNCHER is None and "SMALL_LAUNCHER" in os.environ:  # a step's own process of the multiprocess executor
        from athlete_assets_tests.deployments.conftest import HastyLauncher

        return HastyLauncher(**json.loads(os.environ["SMALL_LAUNCHER"]))
    return LAUNCHER


@dg.resource
def pipes(_):
    """What a test puts here runs the bodies that have this door; inside such a body there is none."""
    return None if os.environ.get("ATHLETE_DATABRICKS_ON_CLUSTER") else DOOR


def _results_of(context, body):
    if context.resources.pipes is None:
        return body()
    from athlete_assets.assets.builder import results_of  # the stock launcher brings this package alone to a cluster

    return results_of(context, body)


@dg.resource
def noticeable(_):
    yield "resource"
    if "SMALL_OUT" in os.environ:
        _wrote("teardown", {"pid": os.getpid()})


def _wrote(name, content):
    with open(f"{os.environ['SMALL_OUT']}/{name}.json", "w") as handle:
        json.dump(content, handle)


def _behave(context):
    """What the run's tag `small/do` says: nothing, raise, or take some seconds."""
    print(f"stdout of {context.op.name}")
    print(f"stderr of {context.op.name}", file=sys.stderr)
    do = context.run.tags.get("small/do", "")
    if do == "raise":
        raise ValueError("the data is wrong")
    if do == "raise once" and context.retry_number == 0:
        raise ValueError("wrong once")
    _sleep(context)


def _sleep(context):
    do = context.run.tags.get("small/do", "")
    if do.startswith("sleep"):
        time.sleep(float(do.split()[1]))


COMMON = {"required_resource_keys": {"launcher"}}


@dg.asset(code_version="1")
def source() -> None:
    """Runs in the orchestrator."""


@dg.multi_asset(
    specs=[dg.AssetSpec("numbers", deps=[source], code_version="2")],
    name="numbers",
    can_subset=True,
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=dg.RetryPolicy(max_retries=2),
    check_specs=[
        dg.AssetCheckSpec("positive", asset="numbers", blocking=True),
        dg.AssetCheckSpec("few", asset="numbers"),
    ],
    required_resource_keys={"launcher", "noticeable", "pipes"},
)
def numbers(context):
    for result in _results_of(context, lambda: _numbers(context)):
        yield from [result] if context.selected_asset_keys else result.check_results


def _numbers(context):
    _behave(context)
    context.log.info("numbers are written")
    keys = context.partition_keys if context.selected_asset_keys else []
    where = {"pid": os.getpid(), "cwd": os.getcwd(), "code": __file__, "keys": keys}
    _wrote("numbers", where | {"attempt": context.retry_number, "secret": os.environ.get("SMALL_SECRET")})
    selected = {key.name for key in context.selected_asset_check_keys}
    bad = context.run.tags.get("small/do") == "bad"
    results = [
        dg.AssetCheckResult(passed=not bad, check_name="positive"),
        dg.AssetCheckResult(passed=True, check_name="few", metadata={"keys": len(keys)}),
    ]
    yield dg.MaterializeResult(
        metadata={"rows": len(keys)}, check_results=[result for result in results if result.check_name in selected]
    )


@dg.asset(deps=[numbers], partitions_def=DAYS, code_version="1", **COMMON)
def totals(context):
    _behave(context)
    _wrote("totals", {"keys": context.partition_keys, "pid": os.getpid()})


@dg.asset(partitions_def=TEAMS, backfill_policy=dg.BackfillPolicy.single_run(), **COMMON)
def teams(context):
    _wrote("teams", {"keys": context.partition_keys})
    return dg.MaterializeResult()


@dg.asset(
    check_specs=[dg.AssetCheckSpec("apart", asset="checked")],
    required_resource_keys={"launcher", "pipes"},
)
def checked(context):
    yield from _results_of(context, lambda: _checked(context))


def _checked(context):
    _sleep(context)
    _wrote("checked", {"materialised": True})
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@dg.asset_check(asset="checked", required_resource_keys={"launcher"})
def alone(context):
    _wrote("alone", {"pid": os.getpid()})
    return dg.AssetCheckResult(passed=True)


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), **COMMON)
def table(context):
    """A Delta table on the cluster's Spark, its partitions' days as rows, made by a function of this package."""
    from pyspark.sql import SparkSession

    from small_assets.kernels import as_they_are

    spark = SparkSession.builder.getOrCreate()
    rows = spark.createDataFrame([(key,) for key in context.partition_keys], "day STRING")
    rows = rows.mapInArrow(as_they_are, "day STRING, module STRING")
    path = f"{os.environ['SMALL_TABLE']}"
    rows.write.format("delta").mode("overwrite").save(path)
    written = spark.read.format("delta").load(path)
    module = written.first()["module"]
    return dg.MaterializeResult(
        metadata={"rows": written.count(), "module": module, "master": spark.conf.get("spark.master")}
    )


def _meets(context, other):
    """Waits until the other asset's step has begun: two steps that follow each other never both succeed."""
    _wrote(f"{context.op.name}_began", {"pid": os.getpid()})
    deadline = time.monotonic() + float(context.run.tags.get("small/patience", "60"))
    while not os.path.exists(f"{os.environ['SMALL_OUT']}/{other}_began.json"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{other} has not begun")
        time.sleep(0.05)
    return dg.MaterializeResult(metadata={"met": other}, check_results=[dg.AssetCheckResult(passed=True)])


@dg.asset(check_specs=[dg.AssetCheckSpec("met", asset="left")], code_version="1", **COMMON)
def left(context):
    return _meets(context, "right")


@dg.asset(check_specs=[dg.AssetCheckSpec("met", asset="right")], code_version="1", **COMMON)
def right(context):
    return _meets(context, "left")


@dg.asset(deps=[left, right], **COMMON)
def joined(context):
    return dg.MaterializeResult()


def _executor():
    if "SMALL_LAUNCHER" not in os.environ:
        return dg.in_process_executor
    from athlete_assets.deployments.databricks.resources import executor
    from athlete_assets.settings import Settings

    return executor(Settings.load())


defs = dg.Definitions(
    assets=[source, numbers, totals, teams, checked, table, left, right, joined],
    asset_checks=[alone],
    resources={"launcher": launcher, "noticeable": noticeable, "pipes": pipes},
    executor=_executor(),
)
