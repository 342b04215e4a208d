"""What is wrong with real data: one function a kind of fault, over rows that were right."""

from __future__ import annotations

from datetime import date

import numpy as np

from athlete_assets.silver.simulator.draws import Draws, Floats, Rows, taken
from athlete_assets.silver.simulator.people import People
from athlete_assets.silver.simulator.plan import EASY, RACE
from athlete_assets.silver.simulator.sessions import SLOTS

CORRUPTIONS: dict[str, float] = {
    "negative_moving_time": 2e-4,
    "zero_duration": 3e-4,
    "absurd_moving_time": 2e-4,
    "over_48_hours": 2e-4,
    "too_fast": 1e-3,
    "absurd_distance": 1e-4,
    "zero_heart_rate": 2e-3,
    "heart_rate_above_230": 3e-4,
    "missing_athlete_id": 1e-4,
    "missing_id": 1e-4,
    "missing_date": 2e-4,
    "before_2000": 2e-4,
    "future_date": 2e-4,
    "no_distance": 5e-4,
}
"""Share of an athlete's eligible runs (outdoor, GPS, whole, no race, at least 2 km) with each fault, at most one a run.
Besides, each athlete has one run with the fault number (athlete number mod 14), within the first 48 eligible runs: so
a cohort of 30 athletes and 3 years holds every kind."""

DIRTY_KINDS: dict[str, float] = {
    **CORRUPTIONS,
    "duplicate_from_other_source": 0.017,
    "split_session": 0.012,
    "other_spelling": 0.05,
}
"""Every kind of dirty row and its share, over a large cohort: of eligible runs for the CORRUPTIONS (beside the one that
each athlete has for sure), of all activities for duplicates and spellings, of runs of 6 km or more that are no races
for sessions recorded in two or three pieces."""

DUPLICATE_SHARE, DOUBLE_SYNC_SHARE = 0.005, 0.30
"""Most athletes have few duplicates; those with two services that sync to each other have them all the time."""

GPS_WEEK_ROLLOVER_DAYS = 1024 * 7
"""What a GPS receiver's week counter is off by after it overflowed: how dates in the future come about."""
DEVICE_EPOCH = date(1989, 12, 31)
"""What a Garmin clock shows that never saw a satellite."""


def in_pieces(sessions: Rows, draws: Draws) -> Rows:
    """Some sessions recorded as two or three activities (warm-up, work, cool-down), each whole in itself."""
    counter = sessions["ordinal"] * SLOTS + sessions["slot"]
    eligible = (sessions["kind"] >= EASY) & (sessions["kind"] < RACE)
    eligible &= (sessions["decimetres"] >= 60_000) & ~sessions["manual"]
    chance = draws.uniform("in pieces", counter, sessions["athlete"])
    share = DIRTY_KINDS["split_session"]
    pieces = np.where(eligible & (chance < share), np.where(chance < 0.4 * share, 3, 2), 1)
    index = np.repeat(np.arange(len(pieces)), pieces)
    rows = taken(sessions, index)
    piece = np.arange(len(index)) - (np.cumsum(pieces) - pieces)[index]
    warm_up = (0.16 + 0.16 * draws.uniform("warm-up", counter, sessions["athlete"]))[index]
    cool_down = np.where(pieces[index] == 3, 0.20, 0.0)
    part = np.where(piece == 0, warm_up, np.where(piece == 1, 1 - warm_up - cool_down, cool_down))
    part = np.where(pieces[index] == 1, 1.0, part)
    rows["piece"], rows["pieces"], rows["slot"] = piece, pieces[index], rows["slot"] + piece
    rows["decimetres"] = np.rint(rows["decimetres"] * part).astype(np.int64)
    rows["seconds"] = rows["seconds"] * part
    return rows


def corrupted(activities: Rows, splits: Rows, draws: Draws) -> tuple[Rows, Rows]:
    """Some eligible runs with one of CORRUPTIONS each; heart-rate faults reach the splits, lost keys lose them."""
    rows, athlete = dict(activities), activities["athlete"]
    counter = rows["ordinal"] * SLOTS + rows["slot"]
    eligible = rows["whole_run"]
    fault = np.searchsorted(np.cumsum(list(CORRUPTIONS.values())), draws.uniform("fault", counter, athlete))
    nth = np.cumsum(eligible) - 1
    first_of_athlete = np.searchsorted(athlete, athlete, side="left")
    nth = nth - np.where(first_of_athlete > 0, nth[first_of_athlete - 1] + 1, 0)
    certain = np.floor(8 + 40 * draws.uniform("certain fault")).astype(np.int64)[athlete]
    fault = np.where(nth == certain, draws.numbers[athlete] % len(CORRUPTIONS), fault)
    fault = np.where(eligible, fault, len(CORRUPTIONS))
    size = draws.uniform("size of the fault", counter, athlete)
    of_kind = {name: fault == number for number, name in enumerate(CORRUPTIONS)}

    metres, moving, elapsed = rows["metres"], rows["moving"], rows["elapsed"]
    moving = np.where(of_kind["negative_moving_time"], -np.rint(10 + 6000 * size), moving)
    still = of_kind["zero_duration"]
    moving, elapsed = np.where(still, 0, moving), np.where(still, 0, elapsed)
    moving = np.where(of_kind["absurd_moving_time"], np.rint(10 ** (6 + 1.9 * size)), moving)
    days_long = of_kind["over_48_hours"]
    long_seconds = np.rint(3600 * (48.5 + 100 * size**2))
    moving, elapsed = np.where(days_long, long_seconds - 60, moving), np.where(days_long, long_seconds, elapsed)
    mps = 6.3 * 4**size
    metres = np.where(of_kind["too_fast"], np.rint(moving * mps * 10) / 10, metres)
    metres = np.where(of_kind["absurd_distance"], np.rint(400_000 + 1_230_000 * size), metres)
    metres = np.where(of_kind["no_distance"], np.where(size < 0.2, -1.0, 0.0), metres)
    rows["metres"], rows["moving"], rows["elapsed"] = metres, moving, elapsed

    beats = np.where(of_kind["heart_rate_above_230"], np.rint(2310 + 200 * size) / 10, rows["heart_rate"])
    beats = np.where(of_kind["zero_heart_rate"], 0.0, beats)
    peak = np.where(of_kind["heart_rate_above_230"], np.ceil(beats), rows["peak"])
    peak = np.where(of_kind["zero_heart_rate"], 0.0, peak)
    wrong_beats = of_kind["heart_rate_above_230"] | of_kind["zero_heart_rate"]
    rows["heart_rate"], rows["peak"] = beats, peak
    of = splits["activity"]
    splits = {
        **splits,
        "heart_rate": np.where(wrong_beats[of], beats[of], splits["heart_rate"]),
        "peak": np.where(wrong_beats[of], peak[of], splits["peak"]),
    }

    rows["no_athlete"], rows["no_id"] = of_kind["missing_athlete_id"], of_kind["missing_id"]
    # 1: the local start is missing, 2: both starts
    rows["no_date"] = np.where(of_kind["missing_date"], 1 + (size < 0.5), 0)
    to_epoch = (DEVICE_EPOCH.toordinal() - rows["ordinal"]) * 86_400
    shift = np.where(of_kind["before_2000"], to_epoch, 0)
    shift = np.where(of_kind["future_date"], GPS_WEEK_ROLLOVER_DAYS * 86_400, shift)
    rows["start"], rows["start_local"] = rows["start"] + shift, rows["start_local"] + shift

    lost = rows["no_athlete"] | rows["no_id"] | of_kind["no_distance"] | still
    return rows, taken(splits, np.nonzero(~lost[of])[0])


def with_duplicates(activities: Rows, people: People, draws: Draws) -> Rows:
    """Some activities a second time, as another service had them: up to 55 s off, distance within 8 %, own spelling.

    Of three pairs two lack heart rate on one side: the copy (1 in 2) or the original (1 in 6, splits untouched).
    """
    athlete, counter = activities["athlete"], activities["ordinal"] * SLOTS + activities["slot"]
    share = np.where(people.double_sync[athlete], DOUBLE_SYNC_SHARE, DUPLICATE_SHARE)
    eligible = (activities["pieces"] == 1) & ~activities["manual"] & (activities["metres"] > 0)
    eligible &= ~(activities["no_athlete"] | activities["no_id"] | (activities["no_date"] > 0))
    chosen = np.nonzero(eligible & (draws.uniform("duplicate", counter, athlete) < share))[0]
    copies, athlete, counter = taken(activities, chosen), athlete[chosen], counter[chosen]

    def uniform(purpose: str) -> Floats:
        return draws.uniform(f"duplicate {purpose}", counter, athlete)

    offset = np.rint(1 + 54 * uniform("offset")).astype(np.int64)
    offset = np.where(uniform("sign") < 0.5, -offset, offset)
    copies["start"], copies["start_local"] = copies["start"] + offset, copies["start_local"] + offset
    copies["ingested"] = copies["ingested"] + np.rint(7200 * uniform("ingested")).astype(np.int64)
    copies["id"], copies["slot"] = copies["id"] + SLOTS // 2, copies["slot"] + SLOTS // 2
    scale = 1 + np.clip(0.02 * draws.normal("duplicate distance", counter, athlete), -0.08, 0.08)
    copies["metres"] = np.rint(copies["metres"] * scale * 10) / 10
    copies["moving"] = np.rint(copies["moving"] * (0.98 + 0.04 * uniform("moving")))
    copies["position"] = np.full(len(chosen), -1)
    copies["spelling"] = np.ones_like(copies["spelling"])
    copies["workout_type"] = np.full_like(copies["workout_type"], -1)
    copies["climb"] = np.where(uniform("climb") < 0.5, np.nan, copies["climb"])
    lacking = uniform("heart rate")
    copies["heart_rate"] = np.where(lacking < 0.5, np.nan, copies["heart_rate"])
    copies["peak"] = np.where(lacking < 0.5, np.nan, copies["peak"])
    bare = chosen[lacking > 5 / 6]
    originals = {**activities, "heart_rate": activities["heart_rate"].copy(), "peak": activities["peak"].copy()}
    originals["heart_rate"][bare] = originals["peak"][bare] = np.nan
    rows = {name: np.concatenate([originals[name], copies[name]]) for name in originals}
    return taken(rows, np.lexsort((rows["id"], rows["athlete"])))


def respell(activities: Rows, draws: Draws) -> None:
    """Sports as other services spell them."""
    counter = activities["ordinal"] * SLOTS + activities["slot"]
    chance = draws.uniform("spelling", counter, activities["athlete"])
    share = 0.032
    activities["spelling"] = np.where(chance < share, np.where(chance < 0.6 * share, 1, 2), activities["spelling"])
