"""What the devices and the pipeline made of the sessions: activities and splits, in whole units."""

from __future__ import annotations

import numpy as np

from athlete_assets.formulas import grade
from athlete_assets.silver.simulator.calendar import Calendar
from athlete_assets.silver.simulator.draws import Draws, Flags, Floats, Integers, Rows, taken
from athlete_assets.silver.simulator.people import People
from athlete_assets.silver.simulator.plan import INTERVAL, LONG, RACE, TEMPO
from athlete_assets.silver.simulator.sessions import (
    RIDING,
    RUN,
    SLOTS,
    STRENGTH_TRAINING,
    TRAIL_RUN,
    VIRTUAL_RUN,
    WALKING,
)

ROWS_PER_ATHLETE = 1_000_000


def recorded(sessions: Rows, people: People, calendar: Calendar, draws: Draws) -> tuple[Rows, Rows]:
    """Activities and 1 km splits as the devices wrote them.

    An activity's distance and moving time are the sums over its kilometres, its heart rate their mean over time. Only
    runs and walks with a device that records splits keep them.
    """
    athlete, kind, sport, manual = (sessions[name] for name in ("athlete", "kind", "sport", "manual"))
    counter = sessions["ordinal"] * SLOTS + sessions["slot"]
    km = _kilometres(sessions, people, counter, draws)
    of, first = km["activity"], np.nonzero(km["place"] == 0)[0]

    moving_time = np.add.reduceat(km["moving"], first)
    idle = np.rint(25 * draws.uniform("stop watch", counter, athlete) ** 4).astype(np.int64)
    elapsed_time = np.add.reduceat(km["elapsed"], first) + np.where(manual, 0, idle)
    start_utc, start_local = _starts(sessions, elapsed_time, people, calendar, counter, draws)
    hours_late = np.exp(0.8 + 0.7 * draws.normal("pipeline", counter, athlete))
    late = draws.uniform("late", counter, athlete)
    hours_late = hours_late + np.where(late < 0.03, 24 + 480 * late / 0.03, 0)

    mean_beats = np.rint(np.add.reduceat(km["beats"] * km["moving"], first) / moving_time)
    peak_beats = np.maximum.reduceat(km["peak"], first)
    artefact = draws.uniform("heart-rate artefact", counter, athlete)
    peak_beats = np.where(artefact < 0.004, np.rint(2000 + 250 * artefact / 0.004), peak_beats)
    has_beats = people.has_heart_rate[athlete] & ~manual
    has_beats &= draws.uniform("sensor forgotten", counter, athlete) > 0.03
    has_peak = has_beats & people.has_max_heart_rate[athlete]

    on_foot_outdoors = (sport == RUN) | (sport == TRAIL_RUN) | (sport == WALKING)
    has_climb = (on_foot_outdoors | (sport == RIDING)) & people.has_elevation[athlete] & ~manual
    # what rises and falls again within a kilometre
    rolling = np.where(sport == RIDING, 0.8, np.where(on_foot_outdoors & (km["count"][first] > 1), 0.25, 0))
    rolling = rolling * people.relief[athlete] * sessions["decimetres"] / 10_000
    climb = np.add.reduceat(np.maximum(km["rise"], 0), first) + np.rint(rolling * 10)

    whole_run = (sport <= TRAIL_RUN) & (kind != RACE) & ~manual
    whole_run &= (sessions["pieces"] == 1) & (sessions["decimetres"] >= 20_000)
    activities: Rows = {
        "athlete": athlete,
        "position": np.arange(len(athlete)),
        "ordinal": sessions["ordinal"],
        "slot": sessions["slot"],
        "pieces": sessions["pieces"],
        "whole_run": whole_run,
        "id": people.number[athlete] * ROWS_PER_ATHLETE + sessions["day"] * SLOTS + sessions["slot"],
        "start": start_utc,
        "start_local": start_local,
        "sport": sport,
        "spelling": np.zeros_like(sport),
        "workout_type": _workout_type(kind, sport <= VIRTUAL_RUN, counter, athlete, draws),
        "metres": sessions["decimetres"] / 10.0,
        "moving": moving_time.astype(np.float64),
        "elapsed": elapsed_time.astype(np.float64),
        "climb": np.where(has_climb, climb / 10.0, np.nan),
        "heart_rate": np.where(has_beats, mean_beats / 10.0, np.nan),
        "peak": np.where(has_peak, np.rint(peak_beats / 10.0), np.nan),
        "manual": manual,
        "trainer": (sport == VIRTUAL_RUN) | (sport == STRENGTH_TRAINING),
        "ingested": start_utc + elapsed_time + np.rint(hours_late * 3600).astype(np.int64),
        "no_athlete": np.zeros(len(athlete), dtype=bool),
        "no_id": np.zeros(len(athlete), dtype=bool),
        "no_date": np.zeros(len(athlete), dtype=np.int64),
    }
    splits: Rows = {
        "activity": of,
        "split": km["place"] + 1,
        "metres": km["length"] / 10.0,
        "moving": km["moving"].astype(np.float64),
        "elapsed": km["elapsed"].astype(np.float64),
        "rise": np.where(has_climb[of], km["rise"] / 10.0, np.nan),
        "heart_rate": np.where(has_beats[of], km["beats"] / 10.0, np.nan),
        "peak": np.where(has_peak[of], np.rint(km["peak"] / 10.0), np.nan),
    }
    kept = (on_foot_outdoors | (sport == VIRTUAL_RUN)) & people.has_splits[athlete] & ~manual
    return activities, taken(splits, np.nonzero(kept[of])[0])


def _kilometres(sessions: Rows, people: People, counter: Integers, draws: Draws) -> Rows:
    """The stretches of each session: kilometres on foot, else one. Integers: decimetres, seconds, tenths of a beat."""
    kind, sport, manual = sessions["kind"], sessions["sport"], sessions["manual"]
    in_kilometres = ((sport <= VIRTUAL_RUN) | (sport == WALKING)) & ~manual
    count = np.where(in_kilometres, np.maximum(-(-sessions["decimetres"] // 10_000), 1), 1)
    first = np.cumsum(count) - count
    of = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(of)) - first[of]
    count = count[of]
    last, several = place == count - 1, count > 1
    kind_of, athlete = kind[of], sessions["athlete"][of]
    address = counter[of] * 1024 + place
    length = np.where(last, sessions["decimetres"][of] - 10_000 * place, 10_000)

    relief = people.relief[sessions["athlete"]]
    relief = relief * np.exp(0.35 * draws.normal("relief of the day", counter, sessions["athlete"]))
    relief = relief * np.where(sport == TRAIL_RUN, 3.0, np.where(kind == RACE, 0.6, 1.0))
    relief = np.where(sport == VIRTUAL_RUN, 0, relief)[of] * several
    rise = np.rint(draws.normal("rise", address, athlete) * relief * length / 1000).astype(np.int64)
    rise = np.clip(rise, -length // 5, length // 5)
    # most routes end where they began
    rise = rise - np.where(relief > 0, np.add.reduceat(rise, first)[of] // count, 0)
    slope = grade.flat_metres_per_metre(np.clip(rise / np.maximum(length, 1), -0.25, 0.25))

    progress = (place + 0.5) / count
    rhythm = np.where(place == 0, 1.025, 1.0)
    repeats = np.where((place == 0) | last, 1.10, np.where(place % 2 == 1, 0.91, 1.06))
    rhythm = np.where((kind_of == INTERVAL) & (count > 3), repeats, rhythm)
    late = np.clip((progress - 0.55) / 0.45, 0, 1) - 0.225
    rhythm = np.where(kind_of == RACE, 1 + 1.2 * (sessions["fade"][of] + 0.01) * late, rhythm)
    rhythm = np.where(several, rhythm, 1.0)
    uneven = 1 + np.where(several, 0.018 * draws.normal("uneven", address, athlete), 0)
    part = np.where(several, length / np.maximum(sessions["decimetres"][of], 1), 1.0)
    moving = np.maximum(np.rint(sessions["seconds"][of] * part * slope * rhythm * uneven), 1).astype(np.int64)
    stop = draws.uniform("stop", address, athlete)
    stops = (stop < 0.12) & (kind_of != RACE) & ~manual[of]

    beats = _heart_rate(sessions, people, of, progress, rhythm, counter, address, draws)
    peak = beats + 10 * np.rint(2 + 5 * draws.uniform("split peak", address, athlete)).astype(np.int64)
    return {
        "activity": of,
        "place": place,
        "count": count,
        "length": length,
        "rise": rise,
        "moving": moving,
        "elapsed": moving + np.where(stops, 5 + np.rint(stop * 600), 0).astype(np.int64),
        "beats": beats,
        "peak": np.minimum(peak, 10 * people.hr_max[athlete].astype(np.int64)),
    }


def _heart_rate(
    sessions: Rows,
    people: People,
    of: Integers,
    progress: Floats,
    rhythm: Floats,
    counter: Integers,
    address: Integers,
    draws: Draws,
) -> Integers:
    """Tenths of a beat a minute of each stretch: the share of VO2max as the share of heart-rate reserve (Swain 1997).

    A slow start, cardiac drift of about 1 % in ten minutes, heat, and the noise of day and sensor.
    """
    athlete = sessions["athlete"]
    day_effect = 2.5 * draws.normal("heart rate of the day", counter, athlete)
    day_effect = day_effect + 0.35 * np.maximum(sessions["celsius"] - 15, 0)
    minutes_in = progress * sessions["seconds"][of] / 60
    effort = sessions["effort"][of] * (1 - 0.5 * (rhythm - 1)) - 0.07 * np.exp(-minutes_in / 4)
    drift = 0.0009 * minutes_in * (sessions["effort"][of] < 0.9)
    lowest, highest = people.hr_rest[athlete][of], people.hr_max[athlete][of]
    bpm = lowest + (highest - lowest) * np.clip(effort + drift, 0.2, 0.985)
    bpm = bpm + day_effect[of] + 1.5 * draws.normal("sensor", address, athlete[of])
    return np.rint(10 * np.clip(bpm, lowest + 5, highest)).astype(np.int64)


def _starts(
    sessions: Rows,
    elapsed_time: Integers,
    people: People,
    calendar: Calendar,
    counter: Integers,
    draws: Draws,
) -> tuple[Integers, Integers]:
    """Starts in UTC and on the athlete's clock, seconds since 1970; the pieces of a session one after the other."""
    start = sessions["start"].copy()
    for piece in (1, 2):
        follows = np.nonzero(sessions["piece"] == piece)[0]
        pause = 45 + 240 * draws.uniform("pause", counter[follows], sessions["athlete"][follows])
        start[follows] = start[follows - 1] + elapsed_time[follows - 1] + np.rint(pause).astype(np.int64)
    utc, zones = np.zeros_like(start), people.zone[sessions["athlete"]]
    for zone, clock in enumerate(calendar.clocks):
        there = zones == zone
        utc[there] = clock.utc(start[there])
        start[there] = clock.local(utc[there])
    return utc, start


def _workout_type(kind: Integers, runs: Flags, counter: Integers, athlete: Integers, draws: Draws) -> Integers:
    """1 for 6 of 7 races, 2 and 3 for some long runs and workouts; else 0 or unknown (-1)."""
    chance = draws.uniform("workout type", counter, athlete)
    marked = np.select(
        [(kind == RACE) & (chance < 0.86), (kind == LONG) & (chance < 0.25), (kind >= TEMPO) & (chance < 0.35)],
        [1, 2, 3],
        default=np.where(chance < 0.6, 0, -1),
    )
    marked = np.where((kind == RACE) & (marked == 3), 0, marked)
    return np.where(runs, marked, -1)
