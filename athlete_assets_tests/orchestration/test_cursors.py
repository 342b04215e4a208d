"""The sensors' cursors outlive an upgrade: what the first release wrote is read, and a cursor reads what it wrote."""

from datetime import date

import pytest
from pydantic import BaseModel

from athlete_assets.days import Days
from athlete_assets.monitoring.alerts import Alert, Incident
from athlete_assets.monitoring.delivery import Undelivered
from athlete_assets.orchestration.alert_reader import AlertCursor, EvaluationsRead
from athlete_assets.orchestration.follow_sensor import FollowCursor
from athlete_assets.orchestration.silver_sensors import SilverCursor
from athlete_assets.silver.changes import Position

JUNE = Days(date(2024, 6, 1), date(2024, 6, 9))
# The texts are as the first release's code wrote them.
SILVER = """{"strava_activities": {"id": "8c1f", "version": 12, "ingested": "2024-06-30T05:00:00+00:00"},
 "strava_athlete": {"id": "77aa", "version": 0, "ingested": null}, "looked": 1719750000}"""
SILVER_WITHOUT_LOOK = '{"strava_activities": {"id": "8c1f", "version": 12, "ingested": null}}'
FOLLOW = """{"ended": {"RUN_SUCCESS": "17", "RUN_FAILURE": null, "RUN_CANCELED": null},
 "owed": {"a1b2": [["2024-06-01", "2024-06-09"]]}, "daily": [["2024-06-01", "2024-06-09"]],
 "state": "2021-01-01", "gold": true, "cause": "a1b2c3d4"}"""
ALERTS = r"""{"checks": {"check x": {"below": 7, "read": [9]}}, "failures": "5", "successes": null,
 "broken": {
  "check x": {"since": 1719750000.5, "severity": "error", "days": [["2024-06-01", "2024-06-09"]], "facts": {}},
  "run of y": {"since": 1719750001.5, "severity": "error", "days": null,
               "facts": {"job": "j", "assets": ["y"], "root": "r"}}},
 "outbox": [{"alert": {
   "text": "BROKEN (error): check x for 2024-06-01..2024-06-09\n2 rows share a key.\nrows = 2",
   "id": "broken check x 2024-06-01..2024-06-09 1719750000.500", "status": "broken", "subject": "check x",
   "severity": "error", "days": "2024-06-01..2024-06-09", "sentence": "2 rows share a key.",
   "numbers": {"rows": 2, "share": 0.5, "worst": "a", "seen": true}, "link": "http://127.0.0.1:3000/assets/x",
   "run_id": "r1", "at": 1719750000.5}, "to": ["webhook"]}]}"""

ALERT = Alert(
    id="broken check x 2024-06-01..2024-06-09 1719750000.500",
    status="broken",
    subject="check x",
    severity="error",
    days="2024-06-01..2024-06-09",
    sentence="2 rows share a key.",
    numbers={"rows": 2, "share": 0.5, "worst": "a", "seen": True},
    link="http://127.0.0.1:3000/assets/x",
    run_id="r1",
    at=1719750000.5,
)
CURSORS: list[tuple[str, BaseModel]] = [
    (
        SILVER,
        SilverCursor(
            positions={
                "strava_activities": Position("8c1f", 12, "2024-06-30T05:00:00+00:00"),
                "strava_athlete": Position("77aa", 0),
            },
            looked=1719750000,
        ),
    ),
    (SILVER_WITHOUT_LOOK, SilverCursor(positions={"strava_activities": Position("8c1f", 12)})),
    (
        FOLLOW,
        FollowCursor(
            ended={"RUN_SUCCESS": "17", "RUN_FAILURE": None, "RUN_CANCELED": None},
            owed={"a1b2": [JUNE]},
            daily=[JUNE],
            state=date(2021, 1, 1),
            gold=True,
            cause="a1b2c3d4",
        ),
    ),
    (
        ALERTS,
        AlertCursor(
            checks={"check x": EvaluationsRead(below=7, read=[9])},
            failures="5",
            broken={
                "check x": Incident(since=1719750000.5, severity="error", days=[JUNE]),
                "run of y": Incident(
                    since=1719750001.5, severity="error", days=None, facts={"job": "j", "assets": ["y"], "root": "r"}
                ),
            },
            outbox=[Undelivered(alert=ALERT, to=["webhook"])],
        ),
    ),
]


@pytest.mark.parametrize(("text", "cursor"), CURSORS, ids=["silver", "silver without a look", "follow", "alerts"])
def test_a_cursor_of_the_first_release_is_read_and_so_is_what_the_present_one_writes(
    text: str, cursor: BaseModel
) -> None:
    assert type(cursor).model_validate_json(text) == cursor
    assert type(cursor).model_validate_json(cursor.model_dump_json()) == cursor


def test_true_stays_true_and_a_count_stays_whole() -> None:
    read = AlertCursor.model_validate_json(ALERTS).outbox[0].alert.numbers
    assert {name: type(value) for name, value in read.items()} == {
        "rows": int,
        "share": float,
        "worst": str,
        "seen": bool,
    }
