"""No healthy run is thrown away: what the workspace says once, and means nothing, does not end a step."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from databricks.sdk.errors import NotFound, PermissionDenied

from athlete_assets.deployments.databricks.patience import is_outage
from athlete_assets_tests.deployments.conftest import CLIENT_ID, CLIENT_SECRET, HastyLauncher, PatientLauncher, Small
from athlete_assets_tests.fake_workspace import FakeWorkspace, Fate
from athlete_assets_tests.fake_workspace.faults import Faults

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
POLL, EVENTS = "/jobs/runs/get", r"/fs/files.*/events/"
GZIP = "application/octet-stream"


def untouched(small: Small, workspace: FakeWorkspace, step: str = "totals") -> None:
    done = small.materialize(step)
    assert done.verdicts(step) == ["STEP_SUCCESS"], done.messages
    assert len(workspace.runs) == 1
    assert not workspace.runs[0].cancelled


ONCE = {
    "an answer that breaks off": lambda faults: faults.cut(POLL, after=1),
    "a page instead of an answer": lambda faults: faults.instead(POLL, after=1),
    "401": lambda faults: faults.status(POLL, 401, after=1, error_code="UNAUTHENTICATED"),
    "403": lambda faults: faults.status(POLL, 403, after=1, error_code="PERMISSION_DENIED"),
    "404": lambda faults: faults.status(POLL, 404, after=1, error_code="RESOURCE_DOES_NOT_EXIST"),
    "events: an answer that breaks off": lambda faults: faults.cut(EVENTS, method="GET"),
    "events: a page instead": lambda faults: faults.instead(EVENTS, method="GET"),
    "events: garbled": lambda faults: faults.instead(EVENTS, b"\x1f\x8b\x08garbled", GZIP, method="GET"),
    "events: no JSON": lambda faults: faults.instead(EVENTS, gzip.compress(b"[{"), GZIP, method="GET"),
    "events: no events": lambda faults: faults.instead(EVENTS, gzip.compress(b'["x"]'), GZIP, method="GET"),
    "events: 403": lambda faults: faults.status(EVENTS, 403, method="GET", error_code="PERMISSION_DENIED"),
}


@pytest.mark.parametrize("fault", ONCE, ids=str)
def test_what_is_answered_once_does_not_end_a_step(small: Small, workspace: FakeWorkspace, fault: str) -> None:
    disturb: Any = ONCE[fault]
    disturb(workspace.faults)
    untouched(small, workspace)


def signed_in_by_secret(workspace: FakeWorkspace) -> dict[str, Any]:
    secret = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    return {"databricks_token": None, "oauth_credentials": secret}


def sign_in_fails(faults: Faults, after: int) -> None:
    for status in (503, 429):
        faults.status("/oidc/v1/token", status, after=after)
    faults.instead("/oidc/v1/token", after=after)


def test_a_sign_in_that_fails_for_a_while_at_the_start_is_waited_for(small: Small, workspace: FakeWorkspace) -> None:
    sign_in_fails(workspace.faults, after=0)
    small.use(PatientLauncher, **signed_in_by_secret(workspace))
    untouched(small, workspace)


def test_a_401_signs_in_anew_and_that_may_fail_for_a_while_too(small: Small, workspace: FakeWorkspace) -> None:
    small.use(PatientLauncher, **signed_in_by_secret(workspace))
    workspace.faults.status(POLL, 401, after=2, error_code="UNAUTHENTICATED")
    sign_in_fails(workspace.faults, after=1)
    untouched(small, workspace)
    assert len(workspace.requests("/oidc/v1/token")) == 5, "the first, three that failed, and the new one"


def test_a_secret_that_is_refused_is_said_at_once(small: Small, workspace: FakeWorkspace) -> None:
    wrong = {"client_id": CLIENT_ID, "client_secret": "another"}
    small.use(HastyLauncher, databricks_token=None, oauth_credentials=wrong)
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "invalid_client: Client authentication failed" in done.messages
    assert len(workspace.requests("/oidc/v1/token")) == 1
    assert workspace.runs == []


def test_a_refusal_that_lasts_ends_the_step_with_its_reason_and_the_run(small: Small, workspace: FakeWorkspace) -> None:
    workspace.deal(Fate(pending_seconds=120))
    workspace.faults.status(POLL, 403, times=25, error_code="PERMISSION_DENIED", message="no right to see the run")
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "refused to answer for" in done.messages
    assert "no right to see the run" in done.messages
    assert workspace.runs[0].cancelled


def test_events_that_stay_unreadable_are_the_reason_of_the_failure(small: Small, workspace: FakeWorkspace) -> None:
    workspace.faults.instead(EVENTS, b"\x1f\x8b\x08garbled", GZIP, method="GET", times=10_000)
    done = small.materialize("totals")
    assert done.verdicts("totals") == ["STEP_FAILURE"]
    assert "events/000001.json.gz cannot be read" in done.messages
    assert workspace.runs[0].result == "SUCCESS"
    assert not workspace.runs[0].cancelled


def test_which_errors_pass_by_themselves() -> None:
    import http.client
    import json

    import requests
    import urllib3

    passing = [
        requests.exceptions.ChunkedEncodingError("broken"),
        requests.exceptions.JSONDecodeError("no", "<", 0),
        json.JSONDecodeError("no", "<", 0),
        urllib3.exceptions.ProtocolError("broken"),
        http.client.IncompleteRead(b""),
        ConnectionResetError(),
        ValueError("unknown: unknown"),
        NotImplementedError("Not supported yet: 'expires_in'"),
    ]
    assert [error for error in passing if not is_outage(error)] == []
    lasting = [
        ValueError("oauth-m2m auth: invalid_client: Client authentication failed"),
        ValueError("azure: AADSTS7000215: Invalid client secret provided"),
        PermissionDenied("no"),
        NotFound("no"),
        requests.exceptions.MissingSchema("no scheme"),
        TypeError("a fault of ours"),
    ]
    assert [error for error in lasting if is_outage(error)] == []
