"""When a person is told that something broke, and when that it is mended: one message each.

A *finding* is what one check, run or freshness policy said about one subject. `told` folds findings, oldest first,
into the subjects that are broken now and gives the alerts that follow:

- a subject that breaks, breaks for further days, or gets worse (warning to error) is told once;
- an error is mended when every day for which it broke has been found good again. A good today says nothing about a
  bad last Tuesday;
- a warning is mended by any later good finding for the same or a newer day: nobody recomputes old days for a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from athlete_assets.days import Days, without

Severity = Literal["warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("warning", "error")


@dataclass(frozen=True)
class Finding:
    """What was found about a subject at one moment."""

    subject: str
    """What the finding is about, such as `check feature_store/athlete_daily_features:keys`."""
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


@dataclass
class Broken:
    """A subject that is broken: since when, how badly, and for which days (None: it has no days)."""

    since: float
    severity: Severity
    days: list[Days] | None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        days = None if self.days is None else [[str(window.first), str(window.last)] for window in self.days]
        return {"since": self.since, "severity": self.severity, "days": days, "facts": self.facts}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Broken:
        days = given["days"]
        windows = None if days is None else [Days(*map(date.fromisoformat, window)) for window in days]
        return cls(given["since"], given["severity"], windows, dict(given["facts"]))


@dataclass(frozen=True)
class Alert:
    """One message. `id` is the same if the message has to be sent again, so that a receiver can drop the second."""

    id: str
    status: Literal["broken", "recovered"]
    subject: str
    severity: Severity
    days: str
    sentence: str
    numbers: Mapping[str, float | int | str | bool]
    link: str
    run_id: str
    at: float

    @property
    def text(self) -> str:
        """The message as people read it."""
        head = "RECOVERED" if self.status == "recovered" else f"BROKEN ({self.severity})"
        where = f" for {self.days}" if self.days else ""
        lines = [f"{head}: {self.subject}{where}", self.sentence]
        if self.numbers:
            lines.append(", ".join(f"{name} = {_short(value)}" for name, value in self.numbers.items()))
        return "\n".join(line for line in (*lines, self.link) if line)

    def to_json(self) -> dict[str, Any]:
        """The message as a webhook gets it; `text` is what Slack's and Mattermost's incoming webhooks show."""
        return {"text": self.text, **asdict(self)}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Alert:
        return cls(**{name: value for name, value in given.items() if name != "text"})


def told(broken: dict[str, Broken], findings: Iterable[Finding]) -> list[Alert]:
    """The alerts that follow from the findings; `broken` is brought up to date."""
    alerts = []
    for finding in sorted(findings, key=lambda finding: finding.at):
        known = broken.get(finding.subject)
        if finding.good:
            if known and _mends(known, finding):
                del broken[finding.subject]
                alerts.append(_alert(finding, "recovered", known.severity))
        else:
            if known is None or _worsens(known, finding):
                alerts.append(_alert(finding, "broken", finding.severity))
            broken[finding.subject] = _broken(known, finding)
    return alerts


def _worsens(known: Broken, finding: Finding) -> bool:
    if SEVERITIES.index(finding.severity) > SEVERITIES.index(known.severity):
        return True
    if finding.severity == "warning" or known.days is None or finding.days is None:
        return False
    return bool(without([finding.days], known.days))


def _broken(known: Broken | None, finding: Finding) -> Broken:
    if known is None:
        days = [finding.days] if finding.days else None
        return Broken(finding.at, finding.severity, days, dict(finding.facts))
    severity = max(known.severity, finding.severity, key=SEVERITIES.index)
    days = None if known.days is None or finding.days is None else [*without(known.days, [finding.days]), finding.days]
    return Broken(known.since, severity, days, {**known.facts, **finding.facts})


def _mends(known: Broken, finding: Finding) -> bool:
    """Whether nothing stays broken after a good finding; the days that it mends are taken out."""
    if known.days is None or finding.days is None:
        return True
    if known.severity == "warning":
        return finding.days.last >= max(window.last for window in known.days)
    known.days = without(known.days, [finding.days])
    return not known.days


def _alert(finding: Finding, status: Literal["broken", "recovered"], severity: Severity) -> Alert:
    days = str(finding.days) if finding.days else ""
    return Alert(
        id=f"{status} {finding.subject} {days} {finding.at:.3f}",
        status=status,
        subject=finding.subject,
        severity=severity,
        days=days,
        sentence=finding.sentence,
        numbers=dict(finding.numbers),
        link=finding.link,
        run_id=finding.run_id,
        at=finding.at,
    )


def _short(value: float | int | str | bool) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
