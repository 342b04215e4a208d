"""The simulated cohort: the same bytes everywhere, people who could exist, and dirt of every kind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from athlete_assets import tables
from athlete_assets.errors import SettingsError
from athlete_assets.silver.simulator import SilverBatch, cohort, simulate
from athlete_assets.silver.simulator.dirt import CORRUPTIONS, DIRTY_KINDS
from athlete_assets.silver.simulator.sessions import SPORTS
from athlete_assets.store.arrow import arrow_schema, fitted

LAST_DAY = date(2025, 6, 30)
HALF, MARATHON = 21_097.5, 42_195.0
RUNS = ("Run", "TrailRun", "VirtualRun")


def whole(batches: Iterator[SilverBatch]) -> SilverBatch:
    """The cohort in one batch, each column in one chunk."""
    parts = list(batches)
    tables_ = (pa.concat_tables([getattr(part, name) for part in parts]) for name in SilverBatch.__annotations__)
    return SilverBatch(*(table.combine_chunks() for table in tables_))


def digest(batch: SilverBatch) -> str:
    """SHA-256 of the three tables as Arrow IPC streams."""
    digest = hashlib.sha256()
    for name in SilverBatch.__annotations__:
        table = getattr(batch, name)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        digest.update(sink.getvalue())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def dirty() -> SilverBatch:
    return whole(simulate(150, 3, seed=11, last_day=LAST_DAY))


@pytest.fixture(scope="module")
def clean() -> SilverBatch:
    return whole(simulate(150, 3, seed=11, last_day=LAST_DAY, dirty=False))


@pytest.fixture(scope="module")
def activities(clean: SilverBatch) -> pd.DataFrame:
    """The clean activities with day (naive), is_run and pace (min/km)."""
    frame = clean.activities.to_pandas()
    return frame.assign(
        day=frame.start_date_local.dt.floor("D"),
        is_run=frame.sport_type.isin(RUNS),
        pace=frame.moving_time / 60 / (frame.distance / 1000).where(frame.distance > 0),
    )


@pytest.fixture(scope="module")
def races(activities: pd.DataFrame) -> pd.DataFrame:
    """Runs marked as races, with the official distance (m) that theirs is within 3 % above or 0.3 % below."""
    marked = activities[activities.is_run & (activities.workout_type == 1)]
    official = np.array([5000, 10_000, HALF, MARATHON])
    share = marked.distance.to_numpy()[:, None] / official
    fits = (share >= 0.997) & (share <= 1.03)
    assert fits.any(axis=1).all()
    return marked.assign(official=official[fits.argmax(axis=1)])


@pytest.fixture(scope="module")
def fitness(activities: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By athlete and evening: ctl, atl (exponentially weighted load, 42 and 7 days) and active, from the rows alone.

    Load as a coach would estimate it: run hours x (threshold / pace)^2 x 100, threshold being the 5 % fastest runs'
    pace; 36 an hour for other sports.
    """
    threshold = activities[activities.is_run].groupby("athlete_id").pace.quantile(0.05)
    ratio = (activities.athlete_id.map(threshold) / activities.pace).where(activities.is_run, 0.6)
    load = activities.moving_time / 36 * ratio**2
    states = {}
    for athlete, rows in load.groupby([activities.athlete_id, activities.day]).sum().groupby(level=0):
        daily = rows.droplevel(0)
        daily = daily.reindex(pd.date_range(daily.index[0], daily.index[-1]), fill_value=0.0)
        smooth = {n: daily.ewm(alpha=1 - np.exp(-1 / n), adjust=False).mean() for n in (42, 7)}
        states[str(athlete)] = pd.DataFrame({"ctl": smooth[42], "atl": smooth[7], "active": daily > 0})
    return states


# ---------------------------------------------------------------------------------------------------- same bytes


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() -> None:
    first, again, other = (digest(whole(simulate(5, 1.5, seed, LAST_DAY))) for seed in (42, 42, 43))
    assert first == again
    assert first != other


@pytest.mark.parametrize("batch_athletes", [1, 4])
def test_an_athlete_does_not_depend_on_the_batch(batch_athletes: int) -> None:
    together = digest(whole(simulate(9, 1, 5, LAST_DAY)))
    assert digest(whole(simulate(9, 1, 5, LAST_DAY, batch_athletes))) == together


def test_an_athlete_does_not_depend_on_the_size_of_the_cohort() -> None:
    small, large = whole(simulate(3, 1, 5, LAST_DAY, dirty=False)), whole(simulate(8, 1, 5, LAST_DAY, dirty=False))
    names = pa.array(["sim_000001", "sim_000002", "sim_000003"])
    for name in SilverBatch.__annotations__:
        table = getattr(large, name)
        assert table.filter(pc.is_in(table["athlete_id"], names)).equals(getattr(small, name))


def test_a_batch_holds_at_most_what_was_asked_and_less_of_long_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(list(simulate(5, 0.3, 1, LAST_DAY, batch_athletes=2))) == 3
    monkeypatch.setattr(cohort, "BATCH_ATHLETE_YEARS", 2)
    assert len(list(simulate(8, 0.5, 1, LAST_DAY))) == 2
    assert len(list(simulate(4, 1, 1, LAST_DAY))) == 2


def test_a_later_last_day_only_adds_rows() -> None:
    days = 400
    short = whole(simulate(6, days / 365.25, 3, LAST_DAY))
    long = whole(simulate(6, (days + 7) / 365.25, 3, LAST_DAY + timedelta(days=7)))
    assert long.athletes.equals(short.athletes)
    for name in ("activities", "splits"):
        before, after = (set(map(str, getattr(batch, name).to_pylist())) for batch in (short, long))
        assert before < after


PROGRAM = """
import sys
from datetime import date
import pyarrow as pa
from athlete_assets.silver.simulator import simulate
(batch,) = simulate(12, 1, 5, date(2025, 6, 30))
for table in (batch.activities, batch.splits, batch.athletes):
    with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
        writer.write_table(table)
"""


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_processor_or_on_hash_randomisation() -> None:
    """NumPy's exp and log differ in the last bit between instruction sets: here with all optional ones switched off."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__  # type: ignore[import-not-found]

    optional = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    environment = {**os.environ, "PYTHONHASHSEED": "77", "NPY_DISABLE_CPU_FEATURES": " ".join(optional)}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
    assert hashlib.sha256(run.stdout).hexdigest() == digest(whole(simulate(12, 1, 5, LAST_DAY)))


# --------------------------------------------------------------------------------------------------- the contract


def test_the_tables_have_exactly_the_contracts_schema(dirty: SilverBatch) -> None:
    for rows, table in (
        (dirty.activities, tables.STRAVA_ACTIVITIES),
        (dirty.splits, tables.STRAVA_SUB_ACTIVITY),
        (dirty.athletes, tables.STRAVA_ATHLETE),
    ):
        assert rows.schema.equals(arrow_schema(table), check_metadata=True)
        assert fitted(rows, table).equals(rows)


def test_keys_are_unique_and_splits_belong_to_an_activity(dirty: SilverBatch) -> None:
    activities, splits = dirty.activities.to_pandas(), dirty.splits.to_pandas()
    keyed = activities.dropna(subset=["athlete_id", "id"])
    assert not keyed.duplicated(["athlete_id", "id"]).any()
    assert not splits.duplicated(["athlete_id", "activity_id", "split_id"]).any()
    assert not dirty.athletes.to_pandas().athlete_id.duplicated().any()
    owners = keyed.assign(id=keyed.id.astype("int64")).set_index("id").athlete_id
    assert (splits.activity_id.map(owners) == splits.athlete_id).all()
    assert keyed.athlete_id.str.fullmatch(r"sim_\d{6}").all()
    assert (activities.source == "simulated").all()


def test_all_days_lie_in_the_asked_range(clean: SilverBatch) -> None:
    local = pd.Series(clean.activities["start_date_local"].to_pandas())
    # 3 years are 1096 days (3 x 365.25, rounded)
    assert local.min().date() >= LAST_DAY - timedelta(days=1095)
    assert local.min().date() <= LAST_DAY - timedelta(days=1090)
    assert local.max().date() == LAST_DAY


def test_local_and_utc_starts_agree_with_the_time_zone(activities: pd.DataFrame) -> None:
    offsets: dict[str, set[float]] = {}
    for row in activities.iloc[::23].itertuples():
        local = row.start_date.to_pydatetime().astimezone(ZoneInfo(row.timezone))
        assert local.replace(tzinfo=None) == row.start_date_local.to_pydatetime()
        offsets.setdefault(row.timezone, set()).add(local.utcoffset().total_seconds() / 3600)
    assert offsets["Asia/Kathmandu"] == {5.75}
    assert offsets["Europe/Berlin"] == {1.0, 2.0}
    assert offsets["Australia/Adelaide"] == {9.5, 10.5}
    assert offsets["America/Sao_Paulo"] == {-3.0}


def test_splits_add_up_to_the_activity(clean: SilverBatch, activities: pd.DataFrame) -> None:
    """Distance (m) and moving time (s) exactly, mean heart rate to its rounding, the highest as the highest."""
    splits = clean.splits.to_pandas()
    splits["beats"] = splits.average_heartrate * splits.moving_time
    sums = splits.groupby("activity_id").agg(
        distance=("distance", "sum"),
        moving=("moving_time", "sum"),
        elapsed=("elapsed_time", "sum"),
        beats=("beats", "sum"),
        highest=("max_heartrate", "max"),
        longest=("distance", "max"),
    )
    of = activities.set_index("id").join(sums, rsuffix="_splits", how="inner")
    assert len(of) > 20_000
    assert np.abs(of.distance - of.distance_splits).max() < 1e-6
    assert (of.moving_time == of.moving).all()
    assert (of.elapsed_time >= of.elapsed).all()
    assert (of.longest <= 1000).all()
    assert (of.beats[of.average_heartrate.isna()] == 0).all()
    assert np.nanmax(np.abs(of.beats / of.moving - of.average_heartrate)) < 0.051
    spike = of.max_heartrate >= 200  # a sensor's artefact shows in the activity's maximum alone
    assert (of.highest[~spike & of.highest.notna()] == of.max_heartrate[~spike & of.highest.notna()]).all()


def test_sensors_are_missing_for_some_athletes_and_for_some_activities(clean: SilverBatch) -> None:
    activities, athletes = clean.activities.to_pandas(), clean.athletes.to_pandas()
    has = activities.groupby("athlete_id")[["average_heartrate", "max_heartrate", "total_elevation_gain"]].count() > 0
    assert 0.02 < (~has.average_heartrate).mean() < 0.25
    assert (has.average_heartrate & ~has.max_heartrate).any()
    assert (~has.total_elevation_gain).any()
    assert 0 < activities.manual.mean() < 0.05
    assert activities[activities.manual].average_heartrate.isna().all()
    assert 0.85 < len(athletes) / 150 < 1
    stated = athletes[["sex", "birth_year", "max_hr_bpm", "resting_hr_bpm", "threshold_pace_min_km"]]
    assert stated.isna().any().all()
    assert stated.notna().any().all()


def test_an_athlete_does_one_thing_at_a_time(clean: SilverBatch) -> None:
    rows = clean.activities.to_pandas().sort_values(["athlete_id", "start_date"])
    end = rows.start_date + pd.to_timedelta(rows.elapsed_time, unit="s")
    assert not (rows.start_date < end.groupby(rows.athlete_id).shift(1)).any()


def test_rows_arrive_within_hours_and_some_days_late(clean: SilverBatch) -> None:
    activities = clean.activities.to_pandas()
    delay = activities.silver_ingestion_timestamp - activities.start_date
    assert (delay.dt.total_seconds() >= activities.elapsed_time).all()
    assert delay.median() < pd.Timedelta(hours=6)
    assert 0.01 < (delay > pd.Timedelta(days=1)).mean() < 0.06
    assert delay.max() < pd.Timedelta(days=25)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"athletes": 0}, "athletes=0"),
        ({"athletes": 10**6}, "athletes=1000000"),
        ({"years": 0}, "years=0"),
        ({"years": 26}, "26 years"),
        ({"years": 5000}, "5000 years"),
        ({"batch_athletes": 0}, "batch_athletes=0"),
    ],
)
def test_an_impossible_cohort_is_refused_by_name(arguments: dict[str, int], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        simulate(**{"athletes": 2, "years": 1, "seed": 1, "last_day": LAST_DAY, **arguments})  # type: ignore[arg-type]


def test_the_smallest_cohorts_work() -> None:
    for seed in range(8):
        batch = whole(simulate(1, 0.003, seed, LAST_DAY))  # one athlete, one day
        assert batch.activities.num_rows <= 4
        assert batch.activities.schema.equals(arrow_schema(tables.STRAVA_ACTIVITIES))


# --------------------------------------------------------------------------------------------------- plausibility


def test_race_times_are_human(races: pd.DataFrame) -> None:
    """Slower than the world records of 2025 (12:35, 26:11, 56:42, 2:00:35); medians as in mass races.

    Medians: Vickers & Vertosick 2016 (2303 recreational runners: 5 k 23:30, 10 k 48, half 1:47, marathon 3:50), +-15 %.
    """
    records = {5000.0: 755, 10_000.0: 1571, HALF: 3402, MARATHON: 7235}
    medians = {5000.0: 23.5, 10_000.0: 48.0, HALF: 107.0, MARATHON: 230.0}
    for official, rows in races.groupby("official"):
        assert rows.moving_time.min() > records[official]
        assert rows.moving_time.max() < 2.6 * 60 * medians[official]
        assert rows.moving_time.median() / 60 == pytest.approx(medians[official], rel=0.15)


def test_measured_race_distances_are_slightly_long(races: pd.DataFrame) -> None:
    excess = races.distance / races.official - 1
    assert 0.003 < excess.median() < 0.012
    assert (excess > 0).mean() > 0.85


def test_several_races_a_year_at_all_distances_most_of_them_marked(
    activities: pd.DataFrame, races: pd.DataFrame
) -> None:
    years = 150 * 3
    assert 2 < len(races) / years < 9
    assert (races.official.value_counts() > 50).all()
    assert races.official.nunique() == 4
    # nobody trains over 42.1 km: the cohort's long runs end at 200 minutes or, late on the way, at 300
    as_long = activities[activities.is_run & activities.distance.between(42_100, 43_500)]
    assert 0.7 < (as_long.workout_type == 1).mean() < 1


def season_bests(races: pd.DataFrame) -> pd.DataFrame:
    season = races.day.dt.year * 2 + races.day.dt.month // 7
    return races.assign(season=season).pivot_table("moving_time", ["athlete_id", "season"], "official", "min")


def test_riegel_exponent_between_5k_and_half_in_one_season(races: pd.DataFrame) -> None:
    """Riegel 1981: 1.06; recreational runners somewhat higher (Vickers & Vertosick 2016: 1.07)."""
    bests = season_bests(races)[[5000, HALF]].dropna()
    exponent = np.log(bests[HALF] / bests[5000]) / np.log(HALF / 5000)
    assert len(exponent) > 40
    assert 1.04 <= exponent.median() <= 1.10


def test_the_undertrained_fade_in_the_marathon(activities: pd.DataFrame, races: pd.DataFrame) -> None:
    """Vickers & Vertosick 2016: from the half, those who run little slow down more than Riegel's 1.06 says."""
    bests = season_bests(races)[[HALF, MARATHON]].dropna()
    exponent = (np.log(bests[MARATHON] / bests[HALF]) / np.log(2)).groupby("athlete_id").median()
    volume = activities[activities.is_run].groupby("athlete_id").distance.sum().reindex(exponent.index)
    little = exponent[volume < volume.median()].median()
    much = exponent[volume >= volume.median()].median()
    assert len(exponent) > 15
    assert little > much > 1.03
    assert little > 1.09


def effective_vdot(races: pd.DataFrame) -> pd.Series:
    """Daniels & Gilbert's VDOT of each race, written out here again."""
    minutes = races.moving_time / 60
    speed = races.official / minutes
    held = 0.8 + 0.1894393 * np.exp(-0.012778 * minutes) + 0.2989558 * np.exp(-0.1932605 * minutes)
    return (-4.6 + 0.182258 * speed + 0.000104 * speed**2) / held


def test_athletes_race_faster_when_fitter(races: pd.DataFrame, fitness: dict[str, pd.DataFrame]) -> None:
    """Within athletes, races to the half marathon: performance rises with the load of the last weeks (Banister)."""
    short = races[races.official <= HALF]
    slopes, correlations = [], []
    for athlete, rows in short.assign(vdot=effective_vdot(short)).groupby("athlete_id"):
        ctl = fitness[athlete].ctl.shift(1).iloc[60:].reindex(rows.day)
        known = ctl.notna().to_numpy()
        if known.sum() >= 6:
            x, y = ctl[known].to_numpy(), rows.vdot[known].to_numpy()
            slopes.append(np.polyfit(x, y, 1)[0])
            correlations.append(np.corrcoef(x, y)[0, 1])
    assert len(slopes) > 60
    assert 0.03 < np.median(slopes) < 0.25
    assert np.median(correlations) > 0.2
    assert np.mean(np.array(correlations) > 0) > 0.75


def test_heart_rate_at_the_same_pace_falls_with_fitness(
    activities: pd.DataFrame, fitness: dict[str, pd.DataFrame]
) -> None:
    """Within athletes: bpm = a + b speed + c CTL has c < 0 for nearly all, by the order of 0.2 bpm a point."""
    slopes = []
    runs = activities[(activities.sport_type == "Run") & (activities.workout_type != 1)].dropna(
        subset="average_heartrate"
    )
    for athlete, rows in runs.groupby("athlete_id"):
        ctl = fitness[athlete].ctl.shift(1).iloc[60:].reindex(rows.day)
        known = ctl.notna().to_numpy()
        if known.sum() >= 80:
            design = np.column_stack([np.ones(known.sum()), 1 / rows.pace[known], ctl[known]])
            slopes.append(np.linalg.lstsq(design, rows.average_heartrate[known], rcond=None)[0][2])
    assert len(slopes) > 80
    assert -0.6 < np.median(slopes) < -0.08
    assert np.mean(np.array(slopes) < 0) > 0.9


def test_heart_rate_drifts_upwards_in_long_runs(clean: SilverBatch, activities: pd.DataFrame) -> None:
    """Cardiovascular drift: some per cent between the third and the last kilometres of an hour or more."""
    long = activities[activities.moving_time.between(4200, 9000) & (activities.workout_type != 1)]
    splits = clean.splits.to_pandas().dropna(subset="average_heartrate")
    splits = splits[splits.activity_id.isin(long.id) & (splits.distance == 1000)]
    ordered = splits.sort_values(["activity_id", "split_id"]).groupby("activity_id").average_heartrate
    early, late = ordered.nth(2).to_numpy(), ordered.nth(-1).to_numpy()
    assert 0.01 < np.median(late / early - 1) < 0.10


def test_heart_rates_and_volumes_are_human(activities: pd.DataFrame, clean: SilverBatch) -> None:
    runs = activities[activities.is_run]
    weekly_km = runs.groupby("athlete_id").distance.sum() / 1000 / (3 * 52.18)
    assert 15 < weekly_km.median() < 45
    assert weekly_km.max() < 200
    weekly_days = activities.groupby("athlete_id").day.nunique() / (3 * 52.18)
    assert 2.5 < weekly_days.median() < 5
    assert activities.average_heartrate.dropna().between(50, 216).all()
    assert 130 < runs.average_heartrate.median() < 155
    assert (runs.pace.dropna() > 2.7).all()
    stated = clean.athletes.to_pandas()
    assert (stated.max_hr_bpm.dropna().between(150, 215)).all()
    assert (stated.threshold_pace_min_km.dropna().between(3.0, 8.0)).all()


def test_women_and_men_race_about_a_tenth_apart() -> None:
    """The gap in distance running is 10 to 12 % (Sandbakk, Solli & Holmberg 2018), here 10 % but for the sample."""
    cohort = whole(simulate(700, 0.5, 6, LAST_DAY, dirty=False))
    sex = cohort.athletes.to_pandas().set_index("athlete_id").sex
    races = cohort.activities.to_pandas()
    races = races[races.workout_type == 1]
    # Riegel's exponent brings all distances to 10 km
    equal = races.moving_time * (10_000 / races.distance) ** 1.06
    log_mean = np.log(equal).groupby(races.athlete_id).min().groupby(sex).mean()
    assert 0.06 < log_mean["F"] - log_mean["M"] < 0.15


def test_layoffs_follow_load_spikes(fitness: dict[str, pd.DataFrame]) -> None:
    """The label of design.md §5: 7 days or more without activity that begin within 14 days, given some training.

    Gabbett 2016: risk rises steeply above an acute:chronic ratio of 1.5.
    """
    ratios, labels = [], []
    for state in fitness.values():
        active = state.active.to_numpy()
        inactive_from_here, ahead = np.zeros(len(active), int), 0
        for position in range(len(active) - 1, -1, -1):
            ahead = 0 if active[position] else ahead + 1
            inactive_from_here[position] = ahead
        begins = (inactive_from_here >= 7) & np.r_[False, active[:-1]]
        within = pd.Series(begins).rolling(14).max().shift(-14).to_numpy()
        trained = pd.Series(active).rolling(7).max().to_numpy() > 0
        known = trained & ~np.isnan(within) & (np.arange(len(active)) >= 60)
        ratios.append((state.atl / state.ctl).to_numpy()[known])
        labels.append(within[known] > 0)
    ratio, label = np.concatenate(ratios), np.concatenate(labels)
    usual, spike = label[(ratio > 0.8) & (ratio < 1.2)].mean(), label[ratio > 1.5].mean()
    assert (ratio > 1.5).sum() > 1000
    assert 0.03 < usual < 0.2
    assert spike > 1.7 * usual


def test_years_off_happen() -> None:
    activities = whole(simulate(60, 6, 2, LAST_DAY, dirty=False)).activities.to_pandas()
    gaps = activities.sort_values("start_date").groupby("athlete_id").start_date.diff()
    assert (gaps > pd.Timedelta(days=330)).any()


# ----------------------------------------------------------------------------------------------------------- dirt


def pairs_of_duplicates(rows: pd.DataFrame) -> pd.Series:
    """Whether an activity starts within 60 s of another one of the athlete's and their distances are within 10 %."""
    rows = rows.sort_values(["athlete_id", "start_date"])
    before = rows.groupby("athlete_id")[["start_date", "distance"]].shift(1)
    near = (rows.start_date - before.start_date).dt.total_seconds() <= 60
    alike = (rows.distance - before.distance).abs() <= 0.10 * rows[["distance"]].join(before.distance, rsuffix="_").max(
        axis=1
    )
    return (near & alike & (rows.distance > 0)).reindex(rows.index)


def continues_the_run_before(rows: pd.DataFrame) -> pd.Series:
    """Whether a run starts within ten minutes after the end of the athlete's run before it."""
    runs = rows[rows.sport_type.str.lower().str.contains("run")].sort_values(["athlete_id", "start_date"])
    end = runs.start_date + pd.to_timedelta(runs.elapsed_time, unit="s")
    pause = (runs.start_date - end.groupby(runs.athlete_id).shift(1)).dt.total_seconds()
    return pause.between(0, 600).reindex(rows.index, fill_value=False)


SIGNS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "negative_moving_time": lambda rows: rows.moving_time < 0,
    "zero_duration": lambda rows: (rows.moving_time == 0) & (rows.elapsed_time == 0),
    "absurd_moving_time": lambda rows: rows.moving_time > 1e6 - 1,
    "over_48_hours": lambda rows: rows.elapsed_time > 48 * 3600,
    "too_fast": lambda rows: (
        (rows.moving_time > 0)
        & (rows.distance / rows.moving_time > 1000 / 160)
        & (rows.distance < 400_000)
        & rows.sport_type.str.lower().str.contains("run")
    ),
    "absurd_distance": lambda rows: rows.distance >= 400_000,
    "zero_heart_rate": lambda rows: rows.average_heartrate == 0,
    "heart_rate_above_230": lambda rows: rows.average_heartrate > 230,
    "missing_athlete_id": lambda rows: rows.athlete_id.isna(),
    "missing_id": lambda rows: rows.id.isna(),
    "missing_date": lambda rows: rows.start_date_local.isna(),
    "before_2000": lambda rows: rows.start_date_local < pd.Timestamp(2000, 1, 1),
    "future_date": lambda rows: rows.start_date_local >= pd.Timestamp(LAST_DAY + timedelta(days=1)),
    "no_distance": lambda rows: (rows.distance <= 0) & rows.sport_type.str.lower().str.contains("run"),
    "duplicate_from_other_source": pairs_of_duplicates,
    "split_session": continues_the_run_before,
    "other_spelling": lambda rows: ~rows.sport_type.isin(SPORTS),
}
"""How each kind shows in the rows, written independently of how it is made."""


def test_every_kind_of_dirt_has_a_sign() -> None:
    assert set(SIGNS) == set(DIRTY_KINDS)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_thirty_athletes_and_three_years_hold_every_kind_of_dirt(seed: int) -> None:
    rows = whole(simulate(30, 3, seed, LAST_DAY)).activities.to_pandas()
    missing = [kind for kind, sign in SIGNS.items() if not sign(rows).any()]
    assert missing == []


def test_without_dirt_there_is_none(clean: SilverBatch) -> None:
    rows = clean.activities.to_pandas()
    found = {kind: int(sign(rows).sum()) for kind, sign in SIGNS.items()}
    assert found == dict.fromkeys(SIGNS, 0)


def test_dirt_is_as_frequent_as_documented(dirty: SilverBatch) -> None:
    rows = dirty.activities.to_pandas()
    runs = rows.sport_type.str.lower().str.contains("run")
    for kind, share in CORRUPTIONS.items():
        # eligible are nearly all runs; beside the share each athlete has one fault, the kinds in turn
        expected = share * runs.sum() + 150 / len(CORRUPTIONS)
        assert 0.5 * expected - 4 < SIGNS[kind](rows).sum() < 1.5 * expected + 4, kind
    for kind, of in (("duplicate_from_other_source", len(rows)), ("other_spelling", len(rows))):
        assert SIGNS[kind](rows).sum() == pytest.approx(DIRTY_KINDS[kind] * of, rel=0.6), kind
    long = (runs & (rows.distance > 6000)).sum()
    pieces = SIGNS["split_session"](rows).sum() / 1.4  # 60 % in two pieces, 40 % in three: 1.4 continuations
    assert pieces == pytest.approx(DIRTY_KINDS["split_session"] * long, rel=0.3)


def test_one_of_a_pair_of_duplicates_often_lacks_heart_rate_and_few_athletes_have_most(dirty: SilverBatch) -> None:
    rows = dirty.activities.to_pandas().sort_values(["athlete_id", "start_date"])
    second = pairs_of_duplicates(rows)
    first = second.groupby(rows.athlete_id).shift(-1, fill_value=False)
    lacks = rows.average_heartrate.isna()
    one_lacks = lacks[second].to_numpy() != lacks[first].to_numpy()
    assert len(one_lacks) == first.sum()
    assert 0.4 < one_lacks.mean() < 0.8
    share = second.groupby(rows.athlete_id).mean()
    assert share.max() > 0.15
    assert share.median() < 0.02
