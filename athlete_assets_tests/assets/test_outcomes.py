"""The outcomes as Dagster writes them: recorded, judged, and shown on the model they are of."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg

from athlete_assets import definitions, tables
from athlete_assets.assets.builder import asset_key
from athlete_assets.assets.models import TIME_ESTIMATOR
from athlete_assets.days import Days, midnight, monday_of
from athlete_assets.gold import interval_calibration
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import DAY, rows

EFFORTS = 12


def test_outcomes_are_recorded_judged_and_calibrate_later_days(tmp_path: Path) -> None:
    """Twelve 10 km of 2,600 s, each foretold as 2,400 with 2,300 to 2,500: none inside."""
    settings = Settings(home=tmp_path, start_date=monday_of(DAY - timedelta(days=60)), as_of=DAY)
    store = LocalStore(settings)
    days = [DAY - timedelta(days=2 * n) for n in range(EFFORTS)]
    said = {"predicted_10k_s": 2400.0, "p10_10k_s": 2300.0, "p90_10k_s": 2500.0, "served_by": "model"}
    runs = [{"athlete_id": "ann", "activity_id": n, "activity_date": midnight(day)} for n, day in enumerate(days)]
    store.replace_arrow(
        tables.RACE_EFFORTS, rows(tables.RACE_EFFORTS, *({**run, "distance": "10k", "time_s": 2600.0} for run in runs))
    )
    every_day = Days(min(days), DAY)
    store.replace_arrow(tables.ACTIVITY, rows(tables.ACTIVITY, *runs), every_day)
    evenings = [midnight(day - timedelta(days=1)) for day in days]
    log = [
        {"athlete_id": "ann", "prediction_date": evening, "served_on": evening, "dagster_run_id": str(n)}
        for n, evening in enumerate(evenings)
    ]
    entries = rows(tables.INFERENCE_LOG, *({**entry, **said, "outputs": "{}"} for entry in log))
    store.append(tables.INFERENCE_LOG, store.frame(tables.INFERENCE_LOG, entries))

    job = definitions.build(settings).resolve_implicit_global_asset_job_def()
    with dg.instance_for_test() as instance:
        for _ in range(2):  # written again, each effort counts once
            result = job.get_subset(asset_selection={asset_key(tables.PREDICTION_OUTCOMES)}).execute_in_process(
                instance=instance, run_config={"loggers": {"progress": {}}}
            )
            assert result.success
        seen = instance.fetch_observations(TIME_ESTIMATOR, limit=1).records
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not checks["intervals_hold"].passed
    assert "10k 0% of 12" in (checks["intervals_hold"].description or "")
    assert checks["as_accurate_as_offline"].passed  # nothing serves that promised anything
    assert store.read(tables.PREDICTION_OUTCOMES).count() == EFFORTS
    assert seen[0].asset_observation is not None
    assert set(seen[0].asset_observation.metadata) == {"online_error", "online_figures"}

    outcomes = interval_calibration.known_outcomes(store)
    assert set(outcomes.factors(DAY).values()) == {1.0}  # known from today on: a prediction of today stands
    assert outcomes.factors(DAY + timedelta(days=1))["10k"] > 1.2
