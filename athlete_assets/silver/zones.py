"""In which time zone an athlete's file was recorded, where the file itself does not say: never a silent default."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import available_timezones

from athlete_assets.errors import InputError
from athlete_assets.settings import PREFIX, Settings

LOCALTIME, TIMEZONE = Path("/etc/localtime"), Path("/etc/timezone")


def zone_of_file(settings: Settings, file: str) -> tuple[str, str]:
    """The IANA zone for a file that gives UTC, and the sentence that says where it comes from.

    What is set or what the home remembers; else the machine's zone. Raises InputError where that is unknown, too: the
    days of the activities depend on it.
    """
    if "time_zone" in settings.model_fields_set:
        zone = settings.time_zone
        before = settings.remembered().get(f"{PREFIX}TIME_ZONE", zone)
        changed = f" (until now {before})" if before != zone else ""
        return zone, f"Local times follow the setting {PREFIX}TIME_ZONE={zone}{changed}; the export gives UTC."
    found = machine_zone()
    if found is None:
        raise InputError(
            f"{file}: gives its times in UTC, and nothing says where the athlete runs; set {PREFIX}TIME_ZONE to that "
            "zone, such as Europe/Berlin, and import again"
        )
    return found, (
        f"Local times follow this machine's zone, {found}, for the export gives UTC; if the athlete runs elsewhere, "
        f"set {PREFIX}TIME_ZONE and import again."
    )


def machine_zone() -> str | None:
    """The IANA zone of this machine: TZ, else what /etc/localtime or /etc/timezone name; None where they name none."""
    if "TZ" in os.environ:
        text = os.environ["TZ"].removeprefix(":")
        return _iana(text or "UTC")
    if LOCALTIME.is_symlink() and (zone := _iana(os.path.realpath(LOCALTIME))):
        return zone
    try:
        return _iana(TIMEZONE.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return None


def _iana(text: str) -> str | None:
    name = text.partition("zoneinfo/")[2] or text
    return name if name in available_timezones() else None
