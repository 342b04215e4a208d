"""The calendar of the assets."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest

from athlete_assets import partitions
from athlete_assets.settings import Settings

# midnight was skipped each spring until 2018; a whole day, 30 December 2011; never anything
ZONES = ("America/Sao_Paulo", "Pacific/Apia", "Etc/UTC")


@pytest.mark.parametrize("zone", ZONES)
def test_the_days_are_those_of_the_stock_definition(zone: str) -> None:
    calendar = partitions.daily(Settings(start_date=date(2011, 11, 28), time_zone=zone))
    stock = dg.DailyPartitionsDefinition("2011-11-28", timezone=zone, end_offset=1)
    assert calendar == stock
    assert calendar.get_serializable_unique_identifier() == stock.get_serializable_unique_identifier()
    assert calendar.get_partition_keys() == stock.get_partition_keys()


def test_each_day_has_its_partition_as_soon_as_it_begins() -> None:
    calendar = partitions.daily(Settings(start_date=date(2026, 1, 5), time_zone="Etc/UTC"))
    begins = datetime(2026, 3, 1, tzinfo=timezone.utc)
    for moment, last in ((begins - timedelta(seconds=1), "2026-02-28"), (begins, "2026-03-01")):
        with dg.partition_loading_context(moment):
            keys = calendar.get_partition_keys()
            assert keys[-1] == last
            keys.clear()  # type: ignore[attr-defined]  # whose list it is
            assert calendar.get_partition_keys()[-1] == last
        assert calendar.get_partition_keys(current_time=moment)[-1] == last
