"""CPU seconds of one look of each sensor with nothing new, and of loading the code location.

ATHLETE_HOME=... python benchmarks/sensors.py     (a home that `make run` filled)
"""

import os
import time
import warnings

START = time.process_time()
warnings.simplefilter("ignore")

import dagster as dg  # noqa: E402

from athlete_assets import definitions  # noqa: E402
from athlete_assets.deployments.instance import prepare_dagster_home  # noqa: E402
from athlete_assets.settings import Settings  # noqa: E402

TICKS = 20


def main() -> None:
    repository = definitions.defs.get_repository_def()
    resources = repository.get_top_level_resources()
    print(f"code location: {time.process_time() - START:.2f} CPU s")
    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(Settings.load()))
    with dg.DagsterInstance.get() as instance:
        for sensor in repository.sensor_defs:
            if sensor.name == "default_automation_condition_sensor":
                continue
            cursor, took = None, []
            for _ in range(TICKS):
                started = time.process_time()
                with dg.build_sensor_context(
                    instance=instance,
                    cursor=cursor,
                    repository_def=repository,
                    sensor_name=sensor.name,
                    resources={key: resources[key] for key in sensor.required_resource_keys},
                ) as context:
                    sensor(context)
                    cursor = context.cursor
                took.append(time.process_time() - started)
            print(f"{sensor.name:16} first {took[0]:.3f}, then {sum(took[1:]) / (TICKS - 1):.3f} CPU s a look")


if __name__ == "__main__":
    main()
