"""When a person is told that something broke, and when that it is mended: one message each.

An *observation* is what one check, run or freshness policy said about one subject. `updated_incidents` folds
observations, oldest first, into the subjects that are broken now and gives the alerts that follow:

- a subject that breaks, breaks for further days, or gets worse (warning to error) is told once;
- an error is mended when every day for which it broke has been found good again. A good today says nothing about a
  bad last Tuesday;
- a warning is mended by any later good observation for the same or a newer day: nobody recomputes old days for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, computed_field

from athlete_assets.days import Days, DaysText, without

Severity = Literal["warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("warning", "error")


@dataclass(frozen=True)
class Observation:
    """What was found about a subject at one moment."""

    subject: str
    """What the observation is about, such as `check feature_store/athlete_daily_features:keys`."""
    good: bool
    at: float
    """Seconds since 1970, UTC."""
    sentence: str
    days: Days | None = None
    """The partitions concerned; None where there are none."""
    severity: Severity = "error"
    numbers: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    link: str = ""
    run_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the sensor must remember of a broken subject to recognise that it is mended."""
    athletes: Sequence[str] | None = None
    """The athletes whose rows were looked at; None for all."""


class Incident(BaseModel):
    """A subject that is broken: since when, how badly, and for which days (None: it has no days)."""

    since: float
    severity: Severity
    days: list[DaysText] | None
    facts: dict[str, Any] = {}
    athletes: list[str] | None = None
    """Of whom it is known to be broken; None: anybody's rows may be."""


class Alert(BaseModel, frozen=True):
    """One message. `id` is the same if the message has to be sent again, so that a receiver can drop the second."""

    id: str
    status: Literal["broken", "recovered"]
    subject: str
    severity: Severity
    days: str
    sentence: str
    numbers: dict[str, bool | int | float | str]
    link: str
    run_id: str
    at: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """The message as people read it: what Slack's and Mattermost's incoming webhooks show."""
        head = "RECOVERED" if self.status == "recovered" else f"BROKEN ({self.severity})"
        where = f" for {self.days}" if self.days else ""
        lines = [f"{head}: {self.subject}{where}", self.sentence]
        if self.numbers:
            lines.append(", ".join(f"{name} = {_short(value)}" for name, value in self.numbers.items()))
        return "\n".join(line for line in (*lines, self.link) if line)


def updated_incidents(broken: dict[str, Incident], observations: Iterable[Observation]) -> list[Alert]:
    """The alerts that follow from the observations; `broken` is brought up to date."""
    alerts = []
    for observation in sorted(observations, key=lambda observation: observation.at):
        known = broken.get(observation.subject)
        if observation.good:
            if known and _mends(known, observation):
                del broken[observation.subject]
                alerts.append(_alert(observation, "recovered", known.severity))
        else:
            if known is None or _worsens(known, observation):
                alerts.append(_alert(observation, "broken", observation.severity))
            broken[observation.subject] = _broken(known, observation)
    return alerts


def _worsens(known: Incident, observation: Observation) -> bool:
    if SEVERITIES.index(observation.severity) > SEVERITIES.index(known.severity):
        return True
    if observation.severity == "warning" or known.days is None or observation.days is None:
        return False
    return bool(without([observation.days], known.days))


def _broken(known: Incident | None, observation: Observation) -> Incident:
    if known is None:
        days = [observation.days] if observation.days else None
        return Incident(
            since=observation.at,
            severity=observation.severity,
            days=days,
            facts=dict(observation.facts),
            athletes=None if observation.athletes is None else sorted(observation.athletes),
        )
    severity = max(known.severity, observation.severity, key=SEVERITIES.index)
    days = (
        None
        if known.days is None or observation.days is None
        else [*without(known.days, [observation.days]), observation.days]
    )
    athletes = (
        None
        if known.athletes is None or observation.athletes is None
        else sorted({*known.athletes, *observation.athletes})
    )
    facts = {**known.facts, **observation.facts}
    return Incident(since=known.since, severity=severity, days=days, facts=facts, athletes=athletes)


def _mends(known: Incident, observation: Observation) -> bool:
    """Whether nothing stays broken after a good observation; the days that it mends are taken out.

    One of some athletes' rows says nothing of what is broken of others.
    """
    if observation.athletes is not None and (
        known.athletes is None or not set(known.athletes) <= set(observation.athletes)
    ):
        return False
    if known.days is None or observation.days is None:
        return True
    if known.severity == "warning":
        return observation.days.last >= max(window.last for window in known.days)
    known.days = without(known.days, [observation.days])
    return not known.days


def _alert(observation: Observation, status: Literal["broken", "recovered"], severity: Severity) -> Alert:
    days = str(observation.days) if observation.days else ""
    return Alert(
        id=f"{status} {observation.subject} {days} {observation.at:.3f}",
        status=status,
        subject=observation.subject,
        severity=severity,
        days=days,
        sentence=observation.sentence,
        numbers=dict(observation.numbers),
        link=observation.link,
        run_id=observation.run_id,
        at=observation.at,
    )


def message_to_try(at: float) -> Alert:
    """A message that tells of nothing: whether it arrives is what its sender wants to know."""
    sentence = "Somebody asked for this message with `athlete-assets alerts --test`; nothing was broken."
    return _alert(Observation("a test of the alerts", good=True, at=at, sentence=sentence), "recovered", "warning")


def _short(value: float | int | str | bool) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
