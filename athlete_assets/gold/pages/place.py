"""Where the pages lie: apart from what writes them, so that who only tells of them loads no engine."""

from __future__ import annotations

from pathlib import Path

from athlete_assets.settings import Settings

INDEX = "index.html"


def folder_of(settings: Settings) -> Path | None:
    """Where the pages lie: ATHLETE_REPORTS, else `reports` in the home; None on Databricks without that setting."""
    if settings.reports is not None:
        return settings.reports
    return settings.home.resolve() / "reports" if settings.deployment == "local" else None
