"""Which errors of the workspace pass by themselves, and calls that wait for that."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from typing import TypeVar

import requests
import tenacity
import urllib3
from databricks.sdk.errors import (
    DatabricksError,
    DeadlineExceeded,
    InternalError,
    TemporarilyUnavailable,
    TooManyRequests,
)

OUTAGES = (InternalError, TemporarilyUnavailable, DeadlineExceeded, TooManyRequests)
TRANSPORT = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
)
"""What the SDK lets through when an answer is cut, is no JSON, or the sign-in is answered by an error: the token
endpoint's are ValueError (retrieve_token in databricks/sdk/oauth.py), NotImplementedError for a 200 without token."""
NEVER_SENT = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema)
SIGN_IN_REFUSED = re.compile(
    r"\b(invalid_(client|grant|request|scope)|unauthorized_client|unsupported_grant_type|access_denied|AADSTS\d+)\b"
)
"""Answers of a token endpoint that waiting does not change (RFC 6749, 5.2)."""
Result = TypeVar("Result")


def is_outage(error: BaseException) -> bool:
    """Whether an error of the client says that the workspace cannot answer now, and nothing about the request."""
    if isinstance(error, DatabricksError):
        return isinstance(error, OUTAGES) or type(error) is DatabricksError  # a status without a class of its own: 502
    if isinstance(error, NEVER_SENT):
        return False
    return isinstance(error, TRANSPORT) and not SIGN_IN_REFUSED.search(str(error))


def patiently(call: Callable[[], Result], seconds: float) -> Result:
    """The call's result, asked again while the workspace is out of reach, for so long; then its last error."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_outage),
        stop=tenacity.stop_before_delay(seconds),
        wait=tenacity.wait_exponential(multiplier=0.5, max=30.0),
        reraise=True,
    )(call)
