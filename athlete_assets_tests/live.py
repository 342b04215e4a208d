"""A live deployment for tests: a filled home, `dagster dev` on it, and the comparison of its tables with a rebuild."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData

from athlete_assets import definitions, partitions, tables
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration.run_tags import RANGE_TAGS
from athlete_assets.orchestration.waiting import UNFINISHED
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Cadence
from athlete_assets_tests.monitoring.receivers import Received, http_receiver
from athlete_assets_tests.rows import rows

TODAY = date(2024, 6, 26)
"""A Wednesday: the running week has days that are still to come."""
SCORED = tuple(table for table in tables.GOLD if table.cadence is Cadence.SCORED)
SUMMARISED = tuple(table for table in tables.SUMMARIES if table != tables.ATHLETE_PAGES)
DERIVED = (*tables.by_cadence(Cadence.DAILY, Cadence.STATE, Cadence.WEEKLY), *SUMMARISED, *SCORED)
"""What a rebuild makes again from silver and the models alone. The log and the outcomes of predictions are history,
which the pages show."""
GIVE_UP_SECONDS = 240
SENSORS = ("silver_changes", "tables_follow", "alerts")
POLL_SECONDS = 0.5


@dataclass
class Live:
    """A running deployment: its settings and instance, the webserver's address, and the messages that it sent."""

    settings: Settings
    instance: dg.DagsterInstance
    url: str
    received: Received
    log: Path
    server: subprocess.Popen[bytes] | None = None
    give_up_s: float = GIVE_UP_SECONDS

    def start(self) -> None:
        """`dagster dev` as `make ui` starts it; returns when each sensor has looked and the webserver serves."""
        port = self.url.rpartition(":")[2]
        seen, began = len(self.log.read_text()) if self.log.exists() else 0, time.time()
        with open(self.log, "a") as output:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", "-m", "athlete_assets.definitions", "-p", port],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait(lambda: all(self.ticked(name)[0] >= began - 1 for name in SENSORS), "the sensors' first look")
        self.wait(lambda: "Serving dagster-webserver" in self.log.read_text()[seen:], "the webserver")

    def processes(self) -> list[int]:
        """The server's process and all that it started, directly or not."""
        assert self.server is not None
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = entry.read_text().partition(" ")
                parents[int(pid)] = int(rest.rpartition(")")[2].split()[1])
            except OSError:  # ended meanwhile
                continue
        found = [self.server.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def kill(self) -> int:
        """kill -9 of webserver, daemon, code server and every run's worker, as a power cut does; how many."""
        found = self.processes()
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self.server is not None
        self.server.wait()
        return len(found)

    def stop(self) -> None:
        """Ends the server as Ctrl-C does, and for good."""
        assert self.server is not None
        self.server.terminate()  # it ends its daemon and servers
        try:
            self.server.wait(20)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGKILL)

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.settings)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """GraphQL, as the UI speaks it."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        with urlopen(Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"}), timeout=60) as answer:
            result = json.load(answer)
        assert "errors" not in result, result["errors"]
        return result["data"]

    def ticked(self, sensor: str) -> tuple[float, dict[str, Any] | None]:
        """When the sensor's newest look that has ended began (seconds since 1970), and the cursor that it left."""
        for state in self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
            if state.name == sensor and isinstance(state.instigator_data, SensorInstigatorData):
                cursor = state.instigator_data.cursor
                return state.instigator_data.last_tick_timestamp or 0.0, json.loads(cursor) if cursor else None
        return 0.0, None

    def cursor(self, sensor: str) -> dict[str, Any] | None:
        return self.ticked(sensor)[1]

    @property
    def told(self) -> list[str]:
        """The messages that were received, as people read them: what an assertion shows when it fails."""
        return [message["text"] for message in self.received.messages]

    def is_quiet(self) -> bool:
        """Whether silver was read to its end, all that follows was requested, and all of that has run."""
        seen, follows = self.cursor("silver_changes"), self.cursor("tables_follow")
        if seen is None or follows is None:
            return False
        read = all(
            at["version"] == self.store.version(t)
            for t in tables.SILVER
            for at in [seen["positions"].get(t.name)]
            if at
        )
        asked = not any(follows[pending] for pending in ("daily", "state", "late", "gold"))
        return read and asked and not self.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1)

    def settle(self) -> None:
        """Waits until nothing is left to do: each sensor has looked once more since all was quiet, and still is it."""
        quiet_since = None

        def settled() -> bool:
            nonlocal quiet_since
            quiet_since = (quiet_since or time.time()) if self.is_quiet() else None
            return quiet_since is not None and all(self.ticked(sensor)[0] > quiet_since for sensor in SENSORS)

        self.wait(settled, "quiet")

    def wait(self, until: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + self.give_up_s
        while not (found := until()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {self.give_up_s:.0f} s; log:\n{self.log.read_text()[-6000:]}")
            time.sleep(POLL_SECONDS)
        return found


@contextmanager
def running(home: Path, give_up_s: float = GIVE_UP_SECONDS) -> Iterator[Live]:
    """Three simulated athletes over two years, materialised; then `dagster dev` as `make ui` starts it."""
    with http_receiver() as received, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ATHLETE_HOME": str(home),
            "ATHLETE_AS_OF": str(TODAY),
            "ATHLETE_SENSOR_INTERVAL_S": "1",
            # no schedule falls due while the tests run: a daily run would mend a broken table unasked
            "ATHLETE_SCHEDULE_AT": f"{datetime.now(Settings().zone) + timedelta(hours=6):%H:%M}",
            "ATHLETE_ALERT_WEBHOOK_URL": f"{received.url}/alerts",
            "DAGSTER_HOME": str(home / "dagster"),
        }.items():
            patch.setenv(name, value)
        fill = [sys.executable, "-m", "athlete_assets.cli", "run", "--athletes", "3", "--years", "2"]
        done = subprocess.run(fill, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        settings = Settings.load()
        prepare_dagster_home(settings)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
            live = Live(settings, instance, f"http://127.0.0.1:{port}", received, home / "dev.log", give_up_s=give_up_s)
            try:
                live.start()
                received.messages.clear()
                yield live
            finally:
                live.stop()


def contents(store: LocalStore) -> dict[str, pd.DataFrame]:
    """Each derived table's rows, sorted by key."""
    found = {}
    for table in DERIVED:
        frame = store.delta(table).to_pyarrow_table().select(list(table.column_names)).to_pandas()
        keys = list(table.keys) or ["athlete_id", "id"]
        found[table.name if table != tables.REJECTS else "rejects"] = frame.sort_values(keys).reset_index(drop=True)
    return found


def assert_same(found: dict[str, pd.DataFrame], wanted: dict[str, pd.DataFrame]) -> None:
    """Equal rows; floats to 1e-9 relative (sums are added in another order)."""
    assert found.keys() == wanted.keys()
    for name, frame in wanted.items():
        assert len(found[name]) == len(frame), f"{name}: {len(found[name])} rows, a rebuild has {len(frame)}"
        for column in frame:
            ours, theirs = found[name][column], frame[column]
            if theirs.dtype == np.float64:
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=f"{name}.{column}")
            else:
                same = [_plain(a) == _plain(b) for a, b in zip(ours, theirs, strict=True)]
                assert all(same), f"{name}.{column}: {same.count(False)} of {len(same)} rows differ"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if value is None or value is pd.NaT or value != value else value


BY_DAY = (*tables.DAILY_TABLES, *tables.STATE_TABLES)
Span = tuple[str, str]


def calendars(settings: Settings) -> tuple[Span, Span]:
    """First and last partition, of the daily and of the weekly tables."""
    return partitions.whole(partitions.daily(settings)), partitions.whole(partitions.weekly(settings))


def rebuilt(settings: Settings) -> dict[str, pd.DataFrame]:
    """All derived tables anew, from silver alone, in one run a calendar; the models stay."""
    store = LocalStore(settings)
    for table in DERIVED:
        shutil.rmtree(store.path(table))
    job = definitions.build(settings).resolve_implicit_global_asset_job_def()
    days, weeks = calendars(settings)
    steps: list[tuple[Sequence[tables.Table], Span | None]] = [
        (BY_DAY, days),
        (tables.WEEKLY_TABLES, weeks),
        (SCORED, (days[1], days[1])),
        (SUMMARISED, None),
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        for selected, span in steps:
            keys = {dg.AssetKey(list(table.path)) for table in selected}
            tags = dict(zip(RANGE_TAGS, span, strict=True)) if span else {}
            assert job.get_subset(asset_selection=keys).execute_in_process(instance=instance, tags=tags).success
    return contents(store)


@dataclass
class Silverware:
    activities: Any
    splits: Any
    athletes: Any


def silver_batch(activities: Iterable[dict[str, Any]]) -> Silverware:
    """Activities by hand as an import hands them over, without splits and athletes."""
    return Silverware(
        rows(tables.STRAVA_ACTIVITIES, *activities), rows(tables.STRAVA_SUB_ACTIVITY), rows(tables.STRAVA_ATHLETE)
    )


def land(live: Live, *activities: dict[str, Any]) -> None:
    landing.land(live.store, silver_batch(activities))


def run(athlete: str, id: int, day: date, km: float = 8.0, minutes: float = 44.0) -> dict[str, Any]:
    local = datetime(day.year, day.month, day.day, 18, 30)
    return {
        "athlete_id": athlete,
        "id": id,
        "start_date": local.replace(tzinfo=timezone.utc),
        "start_date_local": local,
        "sport_type": "Run",
        "distance": km * 1000,
        "moving_time": minutes * 60,
        "elapsed_time": minutes * 60,
        "source": "simulated",
        "silver_ingestion_timestamp": datetime.now(timezone.utc),
    }
