"""What waits for a channel that is slow or refuses: kept in order, sent once, given up by name, never in the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlete_assets.monitoring import delivery
from athlete_assets.monitoring.alerts import Alert
from athlete_assets.monitoring.channels import Channel
from athlete_assets.monitoring.delivery import Undelivered, deliver


def alert(number: int) -> Alert:
    return Alert(
        id=str(number),
        status="broken",
        subject="a run",
        severity="error",
        days="",
        sentence=f"message {number}",
        numbers={},
        link="",
        run_id="",
        at=0.0,
    )


class Receiver(Channel):
    """Takes messages, refuses the next `refused` ones, and answers nothing while `hold` is given and not set."""

    def __init__(self, name: str, hold: Event | None = None) -> None:
        self.name = name
        self.hold = hold
        self.refused = 0
        self.got: list[str] = []

    def send(self, alert: Alert) -> None:
        if self.hold:
            self.hold.wait()
        if self.refused:
            self.refused -= 1
            raise ConnectionError("refused")
        self.got.append(alert.id)


@pytest.fixture
def released() -> Iterator[Event]:
    """Set at the end, so that no thread outlives the test."""
    event = Event()
    yield event
    event.set()


def waiting(numbers: range, *channels: Channel) -> list[Undelivered]:
    return [Undelivered(alert=alert(number), to=[channel.name for channel in channels]) for number in numbers]


def test_a_receiver_that_does_not_answer_costs_one_deadline_and_the_others_nothing(released: Event) -> None:
    slow, quick = Receiver("slow", released), Receiver("quick")
    started = time.monotonic()
    left, troubles = deliver(waiting(range(8), slow, quick), [slow, quick], seconds=2.0)
    assert time.monotonic() - started >= 2.0
    assert quick.got == [str(number) for number in range(8)]
    assert [(entry.alert.id, entry.to, entry.tries) for entry in left] == [(str(n), ["slow"], 1) for n in range(8)]
    assert troubles == ["slow: no answer within 2 s; not sent: BROKEN (error): a run | message 0"]


def test_all_messages_to_a_slow_receiver_together_have_one_deadline() -> None:
    class Slow(Receiver):
        def send(self, alert: Alert) -> None:
            time.sleep(0.3)
            super().send(alert)

    slow = Slow("slow")
    left, _ = deliver(waiting(range(40), slow), [slow], seconds=1.0)
    assert 0 < len(left) < 40, "one deadline a message would have sent them all, in 12 s"
    sent = 40 - len(left)
    assert slow.got[:sent] == [str(number) for number in range(sent)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)), max_size=6))
def test_whatever_is_refused_arrives_once_and_in_order(ticks: list[tuple[int, int, int]]) -> None:
    channels = [Receiver("webhook"), Receiver("slack")]
    outbox: list[Undelivered] = []
    number = 0
    for new, *refusals in ticks:
        outbox += waiting(range(number, number := number + new), *channels)
        for channel, refused in zip(channels, refusals, strict=True):
            channel.refused = refused
        outbox, troubles = deliver(outbox, channels)
        assert bool(troubles) is bool(outbox)
    while outbox:
        outbox, _ = deliver(outbox, channels)
    assert [channel.got for channel in channels] == [[str(n) for n in range(number)]] * 2


def test_a_message_that_is_refused_for_ever_is_given_up_by_name_and_the_next_one_goes() -> None:
    channel = Receiver("webhook")
    channel.refused = 1
    old, new = waiting(range(2), channel)
    left, troubles = deliver([old.model_copy(update={"tries": delivery.TRIES - 1}), new], [channel])
    assert [entry.alert.id for entry in left] == ["1"]
    assert troubles[1:] == [
        f"given up after {delivery.TRIES} attempts to send to webhook: BROKEN (error): a run | message 0"
    ]
    assert deliver(left, [channel]) == ([], [])
    assert channel.got == ["1"]


def test_of_too_many_messages_the_oldest_are_given_up() -> None:
    channel = Receiver("webhook")
    channel.refused = 1
    left, troubles = deliver(waiting(range(delivery.MESSAGES_KEPT + 2), channel), [channel])
    assert [entry.alert.id for entry in left] == [str(n) for n in range(2, delivery.MESSAGES_KEPT + 2)]
    assert [text.rpartition(" | ")[2] for text in troubles[1:]] == ["message 0", "message 1"]


def test_a_channel_that_is_named_no_longer_gets_nothing_and_holds_nothing_back() -> None:
    assert deliver([Undelivered(alert=alert(0), to=["slack"])], [Receiver("webhook")]) == ([], [])
