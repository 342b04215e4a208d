"""What `athlete-assets status --athlete ID` prints: where one athlete stands, in words, from the stored tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

from athlete_assets import tables
from athlete_assets.errors import InputError
from athlete_assets.formulas.race_times import RECENT_EFFORT_DAYS, clock
from athlete_assets.gold.basis import against, against_all, basis, in_words
from athlete_assets.gold.history import rows_of
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets.words import counted, verb

TERMS = "docs/terms.md"
FORM_WORDS = (
    (25.0, "very rested; fitness is being lost (5 to 25 is good for a race)"),
    (5.0, "fresh; good for a race"),
    (-10.0, "balanced; good for easy weeks (5 to 25 is good for a race, -30 to -10 builds fitness)"),
    (-30.0, "tired as training makes it; builds fitness, and is too low for a race"),
    (float("-inf"), "very tired; rest is due (below -30)"),
)
"""From which form (TSB) on, and what it is good for: the bands of J. Friel and intervals.icu (docs/terms.md)."""

LEAST_FITNESS = 1.0
"""TSS a day below which form has no words: the difference of two numbers that are hardly there."""


def status_text(store: LocalStore, athlete: str) -> str:
    """The athlete's fitness, form, room for load, bests, predictions and rejects; InputError without a summary."""
    row = _summary(store, athlete)
    day = row["as_of_date"].date()
    lines = [f"{athlete} on {in_words(day)}"]
    if row["days_since_activity"]:
        lines.append(f"The last activity was on {in_words(row['last_activity_date'].date())}.")
    lines += ["", *_load(row), *_room(store, athlete), "", *_volumes(row), "", *_bests(row), ""]
    lines += [*_predictions(store, row, day), "", *_rejects(store, athlete)]
    return "\n".join([*lines, f"CTL, ATL, TSB, ACWR, TSS and ramp are explained in {TERMS}."])


def status_of(store: LocalStore, athlete: str) -> dict[str, Any]:
    """The rows that the status tells of, as data, null where there is none; InputError without a summary."""
    predictions = rows_of(store, tables.PREDICTIONS, athlete, None)
    return {
        "athlete_id": athlete,
        "summary": _summary(store, athlete),
        "load_room": next(iter(rows_of(store, tables.LOAD_ROOM, athlete, None)), None),
        "predictions": max(predictions, key=lambda row: row["prediction_date"], default=None),
        "reject_reasons": _reject_reasons(store, athlete),
    }


def _summary(store: LocalStore, athlete: str) -> dict[str, Any]:
    found = rows_of(store, tables.METRICS_SUMMARY, athlete, None)
    if not found:
        raise InputError(f"there is no summary of {athlete} yet; `athlete-assets run` makes it")
    return found[0]


def _reject_reasons(store: LocalStore, athlete: str) -> dict[str, int]:
    rows = rows_of(store, tables.REJECTS, athlete, None)
    return dict(Counter(name for row in rows for name in row["reject_reasons"]).most_common())


def form_in_words(form: float) -> str:
    """What a form (TSB) is good for."""
    return next(words for least, words in FORM_WORDS if form >= least)


def _load(row: dict[str, Any]) -> Iterator[str]:
    if row["fitness_ctl"] is None:
        yield "Fitness, fatigue and form are unknown: no activity of the last 42 days has a load."
        return
    ago = row["fitness_ctl_365d_ago"]
    then = "unknown" if ago is None else f"{ago:.1f}"
    ramp = row["ramp_rate_7d"] or 0.0
    yield f"Fitness (CTL)  {row['fitness_ctl']:6.1f}   a year ago {then}; ramp {ramp:+.1f} in 7 days"
    yield f"Fatigue (ATL)  {row['fatigue_atl']:6.1f}"
    words = (
        form_in_words(row["form_tsb"]) if row["fitness_ctl"] >= LEAST_FITNESS else "says nothing: hardly any training"
    )
    yield f"Form (TSB)     {row['form_tsb']:+6.1f}   {words}"
    if row["untracked_42d"]:
        yield (
            f"{row['untracked_42d']} of {counted(row['activities_42d'], 'activity')} of the last 42 days "
            f"{verb(row['untracked_42d'], 'has', 'have')} no load and count as none here: neither "
            "heart rate nor the pace of a run."
        )


def _room(store: LocalStore, athlete: str) -> Iterator[str]:
    for row in rows_of(store, tables.LOAD_ROOM, athlete, None):
        yield _room_today(row, store.settings)
        if row["race_date"] is not None:
            yield _taper(row)


def _room_today(row: dict[str, Any], settings: Settings) -> str:
    if row["room_today_tss"] is None:
        why = {
            "warmup": "the first 42 days",
            "unknown_load": "no load is known",
            "no_training": "nothing to compare with",
        }.get(row["room_unknown_reason"], "")
        return f"Room for load today is unknown: {why}."
    limit = {
        "acwr": f"ACWR {settings.acwr_risk:g}",
        "hardest_day": "a tenth more than the hardest day of six weeks",
    }.get(row["room_limited_by"], f"a ramp of {settings.max_ramp_7d:g}")
    so_far = f", beside {row['load_today_tss']:.0f} done" if row["load_today_tss"] else ""
    if row["room_today_tss"] == 0:
        return f"No room for load today{so_far}: {limit} is reached."
    time = f", about {_duration(row['room_today_min'])} of your usual effort" if row["room_today_min"] else ""
    return f"Room for load today: {row['room_today_tss']:.0f} TSS{time}{so_far}; then {limit} is reached."


def _duration(minutes: float) -> str:
    """45 min, 2 h 05 min."""
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"


def _taper(row: dict[str, Any]) -> str:
    target = f"{row['race_form_target_tsb']:+.0f}"
    race = f"Race on {in_words(row['race_date'].date())}:"
    if row["taper_load_tss"] is not None:
        return f"{race} {row['taper_load_tss']:.0f} TSS a day until its eve lead to form {target}."
    if row["race_form_at_rest_tsb"] is None:
        return f"{race} form then is unknown."
    return f"{race} rest alone leads to form {row['race_form_at_rest_tsb']:+.1f}; {target} is out of reach."


def _volumes(row: dict[str, Any]) -> Iterator[str]:
    for days in tables.VOLUME_DAYS:
        km, run, time, count = (
            row[name.format(days)] or 0
            for name in ("distance_{}d_km", "run_distance_{}d_km", "moving_time_{}d_min", "activities_{}d")
        )
        noun = "activity,  " if count == 1 else "activities,"
        yield f"Last {days:>3} days   {count:4d} {noun} {km:8.1f} km ({run:.1f} run), {time / 60:7.1f} h"
    streak = f"{counted(row['streak_days'] or 0, 'day')}, {counted(row['streak_weeks'] or 0, 'week')}"
    share = row["consistency_score"]
    yield f"In a row        {streak}" + ("" if share is None else f"; consistency of 30 days {share:.0%}")


def _bests(row: dict[str, Any]) -> Iterator[str]:
    known = [name for name in tables.BEST_DISTANCES_M if row[f"best_{name}_s"] is not None]
    if not known:
        yield "No bests yet: no continuous run at a distance from 1 km to the marathon."
    for name in known:
        yield f"Best {name:<9}  {clock(row[f'best_{name}_s']):>8}   {in_words(row[f'best_{name}_date'].date())}"
    if row["vdot"] is not None:
        yield f"VDOT            {row['vdot']:.1f}"
    if row["age_grade"] is not None:
        yield f"Age grade       {row['age_grade']:.1%}, over {row['age_grade_distance']}"


def _predictions(store: LocalStore, summary: dict[str, Any], day: date) -> Iterator[str]:
    athlete = summary["athlete_id"]
    newest = sorted(rows_of(store, tables.PREDICTIONS, athlete, None), key=lambda row: row["prediction_date"])[-1:]
    if not newest or newest[0]["served_by"] is None:
        since = counted(RECENT_EFFORT_DAYS[-1], "day")
        yield f"No predicted times: no continuous run of at least 3 km within {since} to predict from."
        return
    row, made = newest[0], newest[0]["prediction_date"].date()
    (performance,) = rows_of(store, tables.PERFORMANCE, athlete, made) or [{}]
    told = basis(performance, made)
    on = "" if made == day else f" of {in_words(made)}"
    yield f"Predicted times{on}" + (f", from {told}" if told else "") + f" [{row['served_by']} {row['model_version']}]:"
    yield from (f"  Against all of them: {sentence}." for sentence in against_all(performance))
    contradicted = against(row, performance, summary)
    for name, columns in tables.TIME_COLUMNS.items():
        if row[columns[0]] is not None:
            predicted, fast, slow = (clock(row[column]) for column in columns)
            yield f"  {name:<9} {predicted:>8}   {fast} to {slow}"
            yield from (f"  {'':<9} against it: {sentence}." for sentence in contradicted.get(name, []))
    yield "  Of ten hard efforts on a flat course eight end within the two times, one is faster and one slower."
    yield from (f"  {reason}" for reason in row["top_reasons"] or [])


def _rejects(store: LocalStore, athlete: str) -> Iterator[str]:
    reasons = _reject_reasons(store, athlete)
    if reasons:
        yield "Activities left out: " + ", ".join(f"{name} {count}" for name, count in reasons.items()) + "."
