"""What `doctor`, `plan` and `alerts --test` say of a home."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest
from pydantic import SecretStr

from athlete_assets import tables
from athlete_assets.commands import try_alerts
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.doctor import doctor
from athlete_assets.orchestration.silver_sensors import SilverCursor
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.silver.local_changes import LocalSilver
from athlete_assets.store.local import LocalStore
from athlete_assets.upcoming import Upcoming, of_silver, tell_what_is_next
from athlete_assets_tests.live import run, silver_batch
from athlete_assets_tests.monitoring.receivers import http_receiver
from athlete_assets_tests.processes import free_port

TODAY = date(2024, 6, 26)


@pytest.fixture
def settings(tmp_path: object) -> Settings:
    return Settings(home=f"{tmp_path}/home", as_of=TODAY)


Said = Callable[[Settings], tuple[int, list[str]]]


@pytest.fixture
def said_by_doctor(capsys: pytest.CaptureFixture[str]) -> Said:
    return lambda settings: (doctor(settings), capsys.readouterr().out.splitlines())


def test_a_new_home_has_one_thing_to_do(settings: Settings, said_by_doctor: Said) -> None:
    code, said = said_by_doctor(settings)
    assert code == 1
    assert [line for line in said if line.startswith("todo")] == [
        f"todo  home: {settings.home} is not there yet; athlete-assets run fills it"
    ]
    assert said[-1] == "1 thing to do."
    assert not settings.home.exists()


def test_a_damaged_table_is_named_with_its_remedy(
    settings: Settings, said_by_doctor: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(settings)
    landing.land(store, silver_batch([run("a", 1, TODAY)]))
    store.create(tables.DAILY)
    code, said = said_by_doctor(settings)
    assert code == 0, said
    assert said[-1] == "All is well."

    sorted(store.path(tables.STRAVA_ACTIVITIES).glob("_delta_log/*.json"))[-1].write_bytes(b"")
    code, said = said_by_doctor(settings)
    assert code == 1
    (line,) = (line for line in said if line.startswith("todo"))
    assert line.startswith("todo  silver.strava_activities: ")
    assert line.endswith("athlete-assets repair")
    assert doctor(settings, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["well"] is False
    (wrong,) = (one for one in document["looked_at"] if one["todo"])
    assert (wrong["what"], wrong["todo"]) == ("silver.strava_activities", "athlete-assets repair")


def test_the_tables_of_a_home_alone_are_looked_at_as_well(settings: Settings, said_by_doctor: Said) -> None:
    store = LocalStore(settings)
    for table in tables.LOCAL:
        store.create(table)
    sorted(store.path(tables.RACES).glob("_delta_log/*.json"))[-1].write_bytes(b"")
    _, said = said_by_doctor(settings)
    assert [line.split(": ")[0] for line in said if line.startswith("todo")] == ["todo  silver.athlete_race"]


def test_plan_tells_what_a_new_row_leads_to_and_asks_for_nothing(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    store, silver = LocalStore(settings), LocalSilver(LocalStore(settings))
    landing.land(store, silver_batch([run("a", 1, TODAY - timedelta(days=3))]))
    cursor = SilverCursor(positions=silver.positions()).model_dump_json()
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        assert of_silver(cursor, instance, settings) == Upcoming("silver_changes", ["silver is as it was"])
        landing.land(store, silver_batch([run("b", 2, TODAY)]))
        found = of_silver(cursor, instance, settings)
        differs, asked = found.lines()
        assert differs == "silver_changes: 1 day of 1 athlete differs; affected: 2024-06-26 (b)"
        assert asked.startswith("silver_changes: would run ")
        assert "activity_features, athlete_monthly_features, athlete_daily_features" in asked
        assert asked.endswith(" for 2024-06-26")
        (run_asked_for,) = found.runs
        assert (run_asked_for.first, run_asked_for.last) == ("2024-06-26", "2024-06-26")
        assert instance.get_runs_count() == 0
    assert tell_what_is_next(settings) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("silver_changes: has not looked yet")
    due = dict(line.split(": ", 1) for line in said)
    assert due["every_day"].endswith(": 2024-06-25 to 2024-06-26")
    assert {"every_week", "at_the_deadline", "every_week_maintenance"} <= due.keys()
    assert tell_what_is_next(settings, as_json=True) == 0
    by_name = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert by_name.keys() == due.keys()
    (day,) = by_name["every_day"]["runs"]
    assert (day["first"], day["last"]) == ("2024-06-25", "2024-06-26")
    assert datetime.fromisoformat(by_name["every_day"]["due"]) > datetime.now(timezone.utc)


def test_a_test_message_goes_to_each_channel_and_a_silent_one_is_named(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_receiver() as received:
        there = settings.model_copy(update={"alert_webhook_url": SecretStr(f"{received.url}/alerts")})
        assert try_alerts(there) == 0
        (message,) = received.messages
    assert "nothing was broken" in message["text"]
    assert capsys.readouterr().out.splitlines() == ["log: sent", "webhook: sent"]
    away = settings.model_copy(update={"alert_webhook_url": SecretStr(f"http://127.0.0.1:{free_port()}")})
    assert try_alerts(away) == 1
    assert "webhook: URLError" in capsys.readouterr().out
