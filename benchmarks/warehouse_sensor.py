"""A quiet day of `silver_changes` on Databricks: statements, starts of the warehouse, and CPU seconds of its ticks.

python benchmarks/warehouse_sensor.py [SECONDS_BETWEEN_LOOKS]     (a workspace on loopback; needs Java)
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[1]))

import dagster as dg  # noqa: E402

from athlete_assets import definitions, tables  # noqa: E402
from athlete_assets.deployments.databricks.config import Credentials  # noqa: E402
from athlete_assets.settings import Settings  # noqa: E402
from athlete_assets.silver.warehouse_changes import WarehouseSilver  # noqa: E402
from athlete_assets.store.local import LocalStore  # noqa: E402
from athlete_assets.store.session import spark_session  # noqa: E402
from athlete_assets_tests.fake_workspace import FakeWorkspace  # noqa: E402
from athlete_assets_tests.fake_workspace.warehouse import Warehouses  # noqa: E402

TICK_S = 30
DAY_S = 24 * 3600


def main() -> None:
    every = {"databricks_warehouse_look_every_s": int(sys.argv[1])} if len(sys.argv) > 1 else {}
    with tempfile.TemporaryDirectory() as scratch, dg.instance_for_test() as instance:
        settings = Settings(home=Path(scratch), deployment="databricks", databricks_warehouse_id="w-1", **every)
        for table in (tables.STRAVA_ACTIVITIES, tables.STRAVA_SUB_ACTIVITY, tables.STRAVA_ATHLETE):
            LocalStore(settings).create(table)
        with FakeWorkspace(Path(scratch) / "workspace") as workspace:
            workspace.add_token("token", "sensor")
            warehouses = Warehouses(workspace, spark_session("spark"), settings.home)
            warehouse = warehouses.add("w-1")
            now = [0.0]
            warehouses.clock = lambda: now[0]
            client = Credentials(workspace.url, {"databricks_token": "token"}, "token").client()
            silver = WarehouseSilver(settings, lambda: client, seconds=600, now=lambda: now[0])
            built = definitions.build(settings)
            sensor = built.get_sensor_def("silver_changes")
            cursor, quiet, looks = None, [], []
            for tick in range(DAY_S // TICK_S):
                now[0] = float(tick * TICK_S)
                asked, started = len(warehouses.statements), time.process_time()
                with dg.build_sensor_context(
                    instance=instance, cursor=cursor, sensor_name=sensor.name, resources={"silver": silver}
                ) as context:
                    sensor(context)
                    cursor = context.cursor
                took = time.process_time() - started
                (looks if len(warehouses.statements) > asked else quiet).append(took)
            print(f"{len(quiet) + len(looks)} ticks, {len(looks)} looks")
            print(f"{len(warehouses.statements)} statements, {warehouse.starts} starts of the warehouse")
            requests = workspace.requests("/api/")
            print(f"{len(requests)} requests, of which {len(requests) - len(warehouses.statements)} ask no warehouse")
            print(f"a tick without a look {1000 * sum(quiet) / max(1, len(quiet)):.2f} CPU ms")
            print(f"a look, the workspace itself included, {1000 * sum(looks) / len(looks):.0f} CPU ms")


if __name__ == "__main__":
    main()
