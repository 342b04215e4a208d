"""The alert sensor over a real Dagster instance: real runs break and mend, a local server receives the messages."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from pydantic import SecretStr

import athlete_assets
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.errors import SettingsError
from athlete_assets.monitoring.channels import channels_of
from athlete_assets.orchestration.alert_sensor import alert_sensors
from athlete_assets.settings import Settings
from athlete_assets_tests.monitoring.receivers import Received, http_receiver, mail_receiver

DAYS = dg.DailyPartitionsDefinition("2024-05-01", end_date="2024-06-01")
SITUATION: dict[str, Any] = {}


@dg.asset(
    key=["shop", "orders"],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[
        dg.AssetCheckSpec("keys", asset=["shop", "orders"], blocking=True),
        dg.AssetCheckSpec("share", asset=["shop", "orders"]),
    ],
    freshness_policy=dg.FreshnessPolicy.cron("0 6 * * *", lower_bound_delta=timedelta(hours=1)),
)
def orders() -> dg.MaterializeResult:
    if SITUATION.get("write fails"):
        raise OSError("disk full on /tables/orders")
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                check_name="keys",
                passed=not SITUATION.get("duplicates"),
                description=f"{SITUATION.get('duplicates', 0)} rows share a key.",
                metadata={"duplicates": SITUATION.get("duplicates", 0), "picture": dg.MetadataValue.md("x" * 999)},
            ),
            dg.AssetCheckResult(
                check_name="share", passed=not SITUATION.get("share"), severity=dg.AssetCheckSeverity.WARN
            ),
        ]
    )


@dg.asset(deps=[orders])
def summary() -> None: ...


@dg.asset_check(asset=summary)
def plausible() -> dg.AssetCheckResult:
    if SITUATION.get("check raises"):
        raise ValueError("no column total")
    return dg.AssetCheckResult(passed=True)


class Shop:
    """A code location with its instance and alert sensor, and the server that receives the messages."""

    def __init__(self, settings: Settings, received: Received) -> None:
        self.instance = dg.DagsterInstance.from_config(str(prepare_dagster_home(settings)))
        (self.sensor,) = alert_sensors(settings)
        self.definitions = dg.Definitions(
            assets=[orders, summary], asset_checks=[plausible], sensors=[self.sensor], executor=dg.in_process_executor
        )
        self.received = received
        self.cursor: str | None = None

    def run(self, *assets: dg.AssetsDefinition, days: tuple[str, str] | None = None, **situation: Any) -> None:
        SITUATION.clear()
        SITUATION.update(situation)
        tags = {}
        if days:
            tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]}
        job = self.definitions.resolve_implicit_global_asset_job_def()
        job.execute_in_process(
            asset_selection=[asset.key for asset in assets], tags=tags, instance=self.instance, raise_on_error=False
        )

    def tick(self) -> list[dict[str, Any]]:
        """The messages of one tick."""
        already = len(self.received.messages)
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions, sensor_name="alerts"
        )
        assert isinstance(self.sensor(context), dg.SkipReason)
        self.cursor = context.cursor
        return self.received.messages[already:]


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    with http_receiver() as received:
        shop = Shop(settings.model_copy(update={"alert_webhook_url": SecretStr(f"{received.url}/hook")}), received)
        yield shop
        shop.instance.dispose()


MAY_3_TO_5 = ("2024-05-03", "2024-05-05")


def test_a_blocking_check_that_fails_is_told_once_with_its_days_numbers_and_link_and_so_is_its_mending(
    shop: Shop,
) -> None:
    assert shop.tick() == []
    shop.run(orders, summary, days=MAY_3_TO_5, duplicates=42)
    (message,) = shop.tick()  # the run failed because of the check: that is not a second message
    assert message["status"] == "broken"
    assert message["subject"] == "check shop/orders:keys"
    assert message["severity"] == "error"
    assert message["days"] == "2024-05-03..2024-05-05"
    assert message["sentence"] == "42 rows share a key."
    assert message["numbers"] == {"duplicates": 42}
    assert message["link"] == "http://127.0.0.1:3000/assets/shop/orders?view=checks&checkDetail=keys"
    assert message["text"].startswith("BROKEN (error): check shop/orders:keys for 2024-05-03..2024-05-05\n42 rows")
    assert shop.tick() == []
    shop.run(orders, days=MAY_3_TO_5, duplicates=41)
    assert shop.tick() == []
    shop.run(orders, days=("2024-05-09", "2024-05-09"))
    assert shop.tick() == []
    shop.run(orders, days=("2024-05-01", "2024-05-07"))
    (message,) = shop.tick()
    assert (message["status"], message["subject"]) == ("recovered", "check shop/orders:keys")
    assert shop.tick() == []


def test_a_warning_that_does_not_block_is_told_too(shop: Shop) -> None:
    shop.run(orders, days=MAY_3_TO_5, share=True)
    (message,) = shop.tick()
    assert (message["subject"], message["severity"]) == ("check shop/orders:share", "warning")
    shop.run(orders, days=("2024-05-06", "2024-05-06"))
    (message,) = shop.tick()
    assert message["status"] == "recovered"


def test_breaking_and_mending_between_two_ticks_is_told_in_that_order(shop: Shop) -> None:
    shop.tick()
    shop.run(orders, days=MAY_3_TO_5, duplicates=1)
    shop.tick()
    shop.run(orders, days=MAY_3_TO_5)
    shop.run(orders, days=MAY_3_TO_5, duplicates=2)
    shop.run(orders, days=MAY_3_TO_5)
    assert [message["status"] for message in shop.tick()] == ["recovered", "broken", "recovered"]


def test_a_check_that_raises_is_told_although_it_gave_no_evaluation(shop: Shop) -> None:
    shop.tick()
    shop.run(summary, **{"check raises": True})
    messages = shop.tick()
    assert [found["subject"] for found in messages] == ["check summary:plausible"]
    assert "no column total" in messages[0]["sentence"]
    shop.run(summary)
    (message,) = shop.tick()
    assert (message["status"], message["subject"]) == ("recovered", "check summary:plausible")


def test_a_failed_run_is_told_with_its_cause_and_the_checks_without_verdict_and_its_success_once(shop: Shop) -> None:
    shop.tick()
    shop.run(orders, summary, days=MAY_3_TO_5, **{"write fails": True})
    (message,) = shop.tick()
    assert message["subject"] == "run of shop/orders"
    assert "disk full on /tables/orders" in message["sentence"]
    assert "Not evaluated: shop/orders:keys, shop/orders:share" in message["sentence"]
    assert message["days"] == "2024-05-03..2024-05-05"
    assert message["link"] == f"http://127.0.0.1:3000/runs/{message['run_id']}"
    shop.run(orders, days=("2024-05-05", "2024-05-05"))
    assert shop.tick() == []
    shop.run(orders, days=("2024-05-03", "2024-05-04"))
    (message,) = shop.tick()
    assert (message["status"], message["subject"]) == ("recovered", "run of shop/orders")


def test_a_failure_and_a_success_between_two_ticks_are_both_told(shop: Shop) -> None:
    shop.tick()
    shop.run(orders, days=MAY_3_TO_5, **{"write fails": True})
    shop.run(orders, days=MAY_3_TO_5)
    assert [message["status"] for message in shop.tick()] == ["broken", "recovered"]


def test_a_stale_table_is_told_and_so_is_its_freshness(shop: Shop) -> None:
    def becomes(new: FreshnessState, at: float) -> list[str]:
        change = FreshnessStateChange(
            key=orders.key, new_state=new, previous_state=FreshnessState.UNKNOWN, state_change_timestamp=at
        )
        shop.instance._report_runless_asset_event(change)  # as the freshness daemon does
        return [f"{message['status']} {message['subject']}" for message in shop.tick()]

    assert becomes(FreshnessState.PASS, 1.0) == []
    assert becomes(FreshnessState.FAIL, 2.0) == ["broken freshness of shop/orders"]
    assert shop.tick() == []
    assert becomes(FreshnessState.PASS, 3.0) == ["recovered freshness of shop/orders"]


def test_what_a_channel_refuses_is_sent_again_at_the_next_tick_and_once(shop: Shop) -> None:
    shop.tick()
    shop.received.status = 503
    shop.run(orders, days=MAY_3_TO_5, duplicates=1)
    assert shop.tick() == []
    shop.run(orders, days=MAY_3_TO_5)
    assert shop.tick() == []
    shop.received.status = 200
    assert [message["status"] for message in shop.tick()] == ["broken", "recovered"]
    assert shop.tick() == []


def test_slack_gets_the_text_with_the_bots_token(
    settings: Settings, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slack_sdk import WebClient

    monkeypatch.setattr(WebClient, "BASE_URL", f"{shop.received.url}/api/")
    monkeypatch.setattr(
        WebClient.__init__, "__defaults__", (None, WebClient.BASE_URL, *WebClient.__init__.__defaults__[2:])
    )
    slack = settings.model_copy(update={"alert_slack_token": SecretStr("xoxb-1"), "alert_slack_channel": "#runs"})
    shop.tick()
    (shop.sensor,) = alert_sensors(slack)
    shop.run(orders, days=MAY_3_TO_5, duplicates=7)
    (message,) = shop.tick()
    assert (message["_path"], message["_auth"], message["channel"]) == (
        "/api/chat.postMessage",
        "Bearer xoxb-1",
        "#runs",
    )
    assert message["text"].startswith("BROKEN (error): check shop/orders:keys")


def test_mail_gets_the_first_line_as_subject(settings: Settings, shop: Shop) -> None:
    with mail_receiver() as (server, mails):
        mail = {
            "alert_smtp_server": server,
            "alert_email_from": "dagster@example.com",
            "alert_email_to": ["a@example.com", "b@example.com"],
        }
        shop.tick()
        (shop.sensor,) = alert_sensors(settings.model_copy(update=mail))
        shop.run(orders, days=MAY_3_TO_5, duplicates=7)
        shop.tick()
    (text,) = mails
    assert "Subject: BROKEN (error): check shop/orders:keys for 2024-05-03..2024-05-05" in text
    assert "To: a@example.com, b@example.com" in text
    assert "7 rows share a key." in text


@pytest.mark.parametrize(
    "half",
    [{"alert_slack_token": SecretStr("x")}, {"alert_slack_channel": "#x"}, {"alert_email_to": ["a@example.com"]}],
)
def test_a_channel_that_is_named_by_halves_is_an_error(settings: Settings, half: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="ATHLETE_ALERT"):
        channels_of(settings.model_copy(update=half))


def test_dagster_plus_alerts_by_its_own_policies(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_CLOUD_DEPLOYMENT_NAME", "prod")
    assert alert_sensors(settings) == []


def test_the_policies_for_dagster_plus_hold_event_types_that_it_knows_and_allows_together() -> None:
    from dagster_rest_resources.__generated__.enums import AlertPolicyEventType

    path = Path(athlete_assets.__file__).parent / "monitoring" / "alert_policies.yaml"
    policies = yaml.safe_load(path.read_text())["alert_policies"]
    kinds = []
    for policy in policies:
        events = [AlertPolicyEventType(event).value for event in policy["event_types"]]
        kinds.append({"health" if "HEALTH" in event else event.partition("_")[0] for event in events})
        assert len(kinds[-1]) == 1, "Dagster+ refuses a policy that mixes kinds of events"
        assert len(policy["notification_service"]) == 1
    updated_incidents = {event for policy in policies for event in policy["event_types"]}
    assert {
        "ASSET_CHECK_SEVERITY_WARN",
        "ASSET_CHECK_SEVERITY_ERROR",
        "ASSET_CHECK_EXECUTION_FAILURE",
    } <= updated_incidents
    assert {"ASSET_FRESHNESS_FAIL", "ASSET_HEALTH_HEALTHY", "JOB_FAILURE", "TICK_FAILURE"} <= updated_incidents
    assert len({policy["name"] for policy in policies}) == len(policies)
