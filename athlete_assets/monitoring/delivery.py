"""Sends messages within a deadline, and keeps what could not be sent for the next time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Thread

from pydantic import BaseModel

from athlete_assets.monitoring.alerts import Alert
from athlete_assets.monitoring.channels import Channel

DEADLINE_S = 20
"""For all messages to all channels together. Dagster gives up on a tick after 60 s, and would lose its cursor."""
MESSAGES_KEPT = 500
"""Undelivered messages that are kept; beyond them the oldest are given up."""
TRIES = 2880
"""After so many attempts a message is given up, about a day at one tick each 30 s: it may be one that the receiver
refuses for ever, and those behind it wait for it."""


class Undelivered(BaseModel):
    """A message, and the names of the channels that still lack it."""

    alert: Alert
    to: list[str]
    tries: int = 0


def deliver(
    outbox: Sequence[Undelivered], channels: Sequence[Channel], seconds: float = DEADLINE_S
) -> tuple[list[Undelivered], list[str]]:
    """Sends what waits, oldest first and each channel by itself; what is left, and what went wrong in sentences.

    A channel that failed or did not answer in time is left alone until the next call, which keeps the order of its
    messages. A message whose channel answered too late is sent again: receivers know it by its id.
    """
    senders = [_Sender(channel, [entry for entry in outbox if channel.name in entry.to]) for channel in channels]
    deadline = time.monotonic() + seconds
    for sender in senders:
        sender.start(deadline)
    lacking: dict[int, list[str]] = {}
    troubles = []
    for sender in senders:
        sender.join(max(0.0, deadline - time.monotonic()))
        sent = sender.sent  # a sender that is still at work may get further: that is for the next time
        left = sender.queue[sent:]
        for entry in left:
            lacking.setdefault(id(entry), []).append(sender.name)
        if left:
            reason = sender.failure or f"no answer within {seconds:g} s"
            troubles.append(f"{sender.name}: {reason}; not sent: {' | '.join(left[0].alert.text.splitlines())}")
    # a channel that is named no longer by the settings gets nothing
    kept = [
        Undelivered(alert=entry.alert, to=lacking[id(entry)], tries=entry.tries + 1)
        for entry in outbox
        if id(entry) in lacking
    ]
    too_many = len(kept) - MESSAGES_KEPT
    given_up = [entry for at, entry in enumerate(kept) if entry.tries >= TRIES or at < too_many]
    for entry in given_up:
        troubles.append(
            f"given up after {entry.tries} attempts to send to {', '.join(entry.to)}: "
            f"{' | '.join(entry.alert.text.splitlines())}"
        )
    return [entry for entry in kept if entry not in given_up], troubles


class _Sender:
    """Sends one channel's messages in a thread of its own: a slow one costs the others nothing."""

    def __init__(self, channel: Channel, queue: Sequence[Undelivered]) -> None:
        self.name = channel.name
        self.channel = channel
        self.queue = list(queue)
        self.sent = 0
        self.failure: str | None = None

    def start(self, deadline: float) -> None:
        self.thread = Thread(target=self._send, args=(deadline,), daemon=True, name=f"alerts to {self.name}")
        self.thread.start()

    def join(self, seconds: float) -> None:
        self.thread.join(seconds)

    def _send(self, deadline: float) -> None:
        for entry in self.queue:
            if time.monotonic() >= deadline:
                return
            try:
                self.channel.send(entry.alert)
            except Exception as error:  # whatever a channel raises must not lose the message
                self.failure = f"{type(error).__name__}: {error}"
                return
            self.sent += 1
