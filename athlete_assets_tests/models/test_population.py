"""The population line: it reads as it was written, fits the features or is refused, and keeps to its kind of data."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.gold.predictions import without_strangers
from athlete_assets.gold.scoring import Scored
from athlete_assets.models import fit_population, population, reasons, time_estimator
from athlete_assets.models.population import REAL, SIMULATED
from athlete_assets.models.training_set import FEATURES, INPUTS
from athlete_assets.store.local import LocalStore
from athlete_assets_tests.rows import rows

KINDS = (REAL, SIMULATED)


def wide(count: int = 3, **values: float) -> pd.DataFrame:
    """A runner who ran 10 km in 50 min, and of whom little else is known."""
    known = {"recent_effort_distance_m": 10_000.0, "recent_effort_time_s": 3_000.0, "recent_effort_age_days": 10.0}
    return pd.DataFrame(dict.fromkeys(INPUTS, np.nan) | known | {"run_days_90d": 30.0} | values, index=range(count))


def effort(seconds: float, count: int, distance: str = "10k") -> pd.DataFrame:
    return wide(count).assign(
        distance=distance, target_m=tables.DISTANCES_M[distance], time_s=seconds, left_out=None, effort="race"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_line_fits_the_features_and_holds_no_athlete(kind: population.Kind) -> None:
    found = population.shipped(kind)
    assert found.fitted_on == kind
    content = json.loads(population.file_of(kind).read_text())
    assert set(content["features"]) == set(FEATURES)
    assert found.figures["athletes"] >= 50
    text = population.file_of(kind).read_text()
    assert "real_" not in text.replace("population_real", "")
    assert len(text) < 20_000


def test_it_reads_as_it_was_written(tmp_path: Path) -> None:
    shipped = population.shipped(REAL)
    path = tmp_path / "line.json"
    path.write_text(shipped.as_json())
    again = population.read(path)
    assert again.as_json() == shipped.as_json()
    pd.testing.assert_frame_equal(again.estimator().predict(wide()), shipped.estimator().predict(wide()))


def test_a_prediction_is_the_files_sum_by_hand() -> None:
    """Everything unknown but the three things that `wide` says, and what follows from them."""
    content = json.loads(population.file_of(REAL).read_text())
    known = {
        "target_log_m": math.log(10_000),
        "baseline_log_10k_s": math.log(3_000),
        "effort_to_target_log": 0.0,
        "recent_effort_age_days": 10.0,
        "run_days_90d": 30.0,
    }
    total = content["intercept"]
    for name, numbers in content["features"].items():
        if name in known:
            scales = (known[name] - numbers["centre"]) / numbers["scale"]
            total += numbers["slope"] * max(-3.0, min(3.0, scales))
        else:
            total += numbers["missing"]
    predicted = population.shipped(REAL).estimator().predict(wide(1)).iloc[0]
    assert predicted["served_by"] == "population"
    trust, formula = content["trust"]["10k"], content["formula"]["10k"]
    middle = trust * total + (1 - trust) * formula["log_p50"]
    assert predicted["predicted_10k_s"] == pytest.approx(3_000 * math.exp(middle), rel=1e-6)
    slow = trust * total + (1 - trust) * formula["log_p90"] + content["interval"]["10k"]["slower"]
    assert predicted["p90_10k_s"] == pytest.approx(3_000 * math.exp(slow), rel=1e-6)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda content: content["features"].pop("hr_slope"), "lacks hr_slope"),
        (lambda content: content["features"].update(shoe_size={}), "has shoe_size"),
        (lambda content: content["features"]["tsb"].update(slope=float("nan")), "slope of tsb is nan"),
        (lambda content: content["features"]["tsb"].update(scale=0), "scale of tsb is 0"),
        (lambda content: content.update(fitted_on="horses"), "fitted_on is 'horses'"),
        (lambda content: content.pop("features"), "is no population line"),
        (lambda content: content["interval"].pop("10k"), "is no whole population line"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, changed: Any, said: str) -> None:
    content = json.loads(population.shipped(REAL).as_json())
    changed(content)
    path = tmp_path / "line.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=said) as error:
        population.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "fit_population" in str(error.value)


def test_a_homes_own_efforts_move_it_the_fewer_the_less() -> None:
    """10 efforts, each 10 % slower than the line says, move it by half of that at their distance, and no other."""
    line = population.shipped(REAL)
    before = line.estimator().predict(wide(1)).iloc[0]
    slower = effort(before["predicted_10k_s"] * math.exp(0.1), population.OWN_EFFORTS)
    after = line.moved(slower).predict(wide(1)).iloc[0]
    assert after["predicted_10k_s"] == pytest.approx(before["predicted_10k_s"] * math.exp(0.05), rel=1e-9)
    assert after["predicted_5k_s"] == before["predicted_5k_s"]
    assert line.moved(slower.head(0)).shift is None
    assert line.moved(slower.assign(left_out="too_fast")).shift is None
    (said,) = [why for why in reasons.top_reasons(line.moved(slower), wide(1))[0] if why.startswith("Your own hard")]
    assert said.count("slower over 10 km") == 1
    assert "5 km" not in said


def test_a_model_of_few_labels_leans_on_it() -> None:
    """At a distance without labels the home's model says what the line says, with its interval."""
    line = population.shipped(REAL).estimator()
    own = time_estimator.TimeEstimator(
        line=line.line,
        models={},
        bias=line.bias,
        trust={"10k": 1.0, "half": 0.0},
        offsets=dict.fromkeys(line.offsets, (0.0, 0.0)),
        baseline_interval=line.baseline_interval,
        features=line.features,
        shift={"10k": 0.1},
        population=line,
    )
    theirs, ours = line.predict(wide(1)).iloc[0], own.predict(wide(1)).iloc[0]
    assert ours["predicted_half_s"] == pytest.approx(theirs["predicted_half_s"], rel=1e-12)
    assert ours["p90_half_s"] == pytest.approx(theirs["p90_half_s"], rel=1e-12)
    alone = replace(line, trust={}).predict(wide(1)).iloc[0]
    assert ours["predicted_10k_s"] == pytest.approx(alone["predicted_10k_s"] * math.exp(0.1), rel=1e-9)


def test_an_effect_is_said_in_whole_seconds_with_its_direction() -> None:
    said = reasons._effect_over("10k")
    assert said(-72.0) == ", 1:12 faster over 10 km"
    assert (said(0.0), said(-0.0)) == (", 0:00 slower over 10 km", ", 0:00 faster over 10 km")


# ------------------------------------------------------------------------------------------------- kinds of data


def home(store: LocalStore, *sources: str | None) -> LocalStore:
    held = [{"athlete_id": f"a{number}", "activity_id": number, "source": s} for number, s in enumerate(sources)]
    store.replace_arrow(tables.ACTIVITY, rows(tables.ACTIVITY, *held))
    return store


def test_real_and_simulated_never_serve_each_other(store: LocalStore, tmp_path: Path) -> None:
    assert population.of_home(home(store, "strava_export", "file", None)) is population.shipped(REAL)
    assert population.of_home(home(store, "simulated", "simulated")) is population.shipped(SIMULATED)
    assert population.of_home(home(store, "simulated", "file")) is None
    activities = store.read(tables.ACTIVITY)
    assert [*map(tuple, population.strangers(activities, REAL).collect())] == [("a0",)]
    assert [*map(tuple, population.strangers(activities, SIMULATED).collect())] == [("a1",)]
    path = tmp_path / "line.json"
    path.write_text(population.shipped(SIMULATED).as_json())
    store.settings = store.settings.model_copy(update={"population_line": str(path)})
    with pytest.raises(InputError, match="was fitted on simulated runs and must not serve real ones"):
        population.of_home(home(store, "file"))


def test_an_athlete_of_the_other_kind_gets_the_formula() -> None:
    features = wide(2)
    outputs = population.shipped(REAL).estimator().predict(features).assign(top_reasons=None)
    times = Scored(pa.table({"athlete_id": ["real", "simulated"]}), features, outputs)
    found = without_strangers(times, {"simulated"}, population.shipped(SIMULATED).formula).outputs.to_dict("records")
    assert [row["served_by"] for row in found] == ["population", "baseline"]
    assert found[0] == outputs.to_dict("records")[0]
    shift = population.shipped(SIMULATED).formula["10k"].log_p50
    assert found[1]["predicted_10k_s"] == pytest.approx(3_000 * math.exp(shift))


# ----------------------------------------------------------------------------------------------------- the script


def test_the_formulas_quantiles_give_each_athlete_the_same_weight() -> None:
    """One athlete's 60 efforts at 0, another's 10 at 0.1, a third's 10 at 0.2: the middle is the second's."""
    counts = {"a": 60, "b": 10, "c": 10}
    rows = pd.concat([effort(3_000, count).assign(athlete_id=name) for name, count in counts.items()])
    ratios = np.repeat([0.0, 0.1, 0.2], list(counts.values()))
    found = fit_population.formula_corrections(rows, ratios)
    assert found["10k"].log_p10 == 0.0
    assert found["10k"].log_p50 == pytest.approx(0.1)
    assert found["10k"].log_p90 == pytest.approx(0.2)
    assert found["marathon"] == fit_population.MARATHON
