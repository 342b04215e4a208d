"""A small simulated home whose assets are run in this process: a real instance, real Delta tables and MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import pytest

from athlete_assets import definitions
from athlete_assets.assets.builder import asset_key
from athlete_assets.deployments.instance import prepare_dagster_home
from athlete_assets.orchestration.run_tags import RANGE_END, RANGE_START
from athlete_assets.settings import Settings
from athlete_assets.silver import landing
from athlete_assets.silver.simulator import simulate
from athlete_assets.store.local import LocalStore
from athlete_assets.tables import Table


@dataclass
class World:
    settings: Settings
    store: LocalStore
    instance: dg.DagsterInstance
    built: dg.Definitions

    def run(
        self, *wanted: Table | dg.AssetKey, first: date | None = None, last: date | None = None, fails: bool = False
    ) -> dg.ExecuteInProcessResult:
        keys = {asset_key(one) if isinstance(one, Table) else one for one in wanted}
        span = (str(first), str(last or first)) if first else ()
        result = (
            self.built.resolve_implicit_global_asset_job_def()
            .get_subset(asset_selection=keys)
            .execute_in_process(
                instance=self.instance,
                tags=dict(zip((RANGE_START, RANGE_END), span, strict=False)),
                raise_on_error=False,
                run_config={"loggers": {"progress": {}}},
            )
        )
        assert result.success is not fails
        return result

    def rows(self, table: Table) -> list[dict[str, Any]]:
        found = self.store.delta(table).to_pyarrow_table()
        return found.sort_by([(key, "ascending") for key in table.keys or ("id",)]).to_pylist()


@contextmanager
def filled(settings: Settings, years: float) -> Iterator[World]:
    """The silver of two athletes up to the settings' today, of which nothing was made yet."""
    store = LocalStore(settings)
    for batch in simulate(2, years, 3, settings.today):
        landing.land(store, batch)
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        yield World(settings, store, instance, definitions.build(settings))


def close(found: list[dict[str, object]], wanted: list[dict[str, object]]) -> bool:
    """Equal rows, floats to 1e-9 relative."""
    tolerant = [
        {k: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for k, v in row.items()} for row in wanted
    ]
    return found == tolerant
