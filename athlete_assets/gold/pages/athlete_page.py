"""What an athlete's page says: words for the template, and numbers for the charts. Pure functions of what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets import tables
from athlete_assets.days import monday_of
from athlete_assets.gold.pages.reading import QUALITY_DAYS, ZONES, Columns, Shown, first_day_of_calendar
from athlete_assets.gold.pages.texts import UNKNOWN, Words
from athlete_assets.settings import Settings

MOVED_DAYS = 28
"""Days over which a prediction is said to have moved."""
EASY_SHARE = 0.8
"""Of the highest heart rate; a run below it is easy."""
EASY_MINUTES = 20
QUIET_DAYS = 7
"""Days without activity from which the coach's page counts an athlete as quiet."""
MEAN_WEEKS = 4
OUTCOMES_LISTED = 30
ZONE_WEEKS = 53
FORM_BANDS = ((25.0, "transition"), (5.0, "fresh"), (-10.0, "grey"), (-30.0, "productive"))
"""Lower bounds of form (TSS a day), as TrainingPeaks and intervals.icu draw them; below the last: heavy."""


@dataclass(frozen=True)
class Prediction:
    """The newest predicted time at one distance."""

    name: str
    predicted: float
    fast: float
    slow: float
    moved: float | None
    """Against the newest prediction of MOVED_DAYS before; None where there is none."""


def form_band(form: float) -> str:
    """Name of the band that a form (TSB) lies in."""
    return next((name for low, name in FORM_BANDS if form > low), "heavy")


def athlete_view(shown: Shown, words: Words, settings: Settings) -> dict[str, Any]:
    """What the template of an athlete's page is given; `charts` is what its script draws."""
    return {
        "title": shown.athlete,
        "day": words.day(shown.as_of),
        "tiles": _tiles(shown, words),
        "notes": _notes(shown, words),
        "load": _load_table(shown, words),
        "projection": _projection(shown, words),
        "volume": _volume(shown, words),
        "calendar": _calendar(shown, words),
        "easy": _easy(shown, words),
        "predictions": _predictions(shown, words),
        "outcomes": _outcomes(shown, words),
        "records": _records(shown, words),
        "standing": _standing(shown, words),
        "thresholds": _thresholds(shown, words),
        "risk": _risk(shown, words, settings),
        "quality": _quality(shown, words),
        "charts": charts(shown),
    }


# ------------------------------------------------------------------------------------------------------------ numbers


def charts(shown: Shown) -> dict[str, Any]:
    """The numbers that the page's script draws, by chart; days as ISO text, None where something is not known."""
    load, history, outcomes = shown.columns["load"], shown.columns["history"], shown.columns["outcomes"]
    known = is_load_known(shown)
    return {
        "load": {
            "x": _days(load["as_of_date"]),
            "ctl": _numbers(load["ctl_42d"]),
            "atl": _numbers(load["atl_7d"]),
            "tsb": _numbers(load["tsb"]),
        }
        if known
        else None,
        "projection": projection_numbers(shown),
        "weeks": _weeks(shown),
        "zones": zone_hours(shown),
        "calendar": _calendar_numbers(shown),
        "easy": _easy_numbers(shown),
        "fan": _fan(predictions(shown)),
        "history": {
            "x": _days(history["prediction_date"]),
            **{
                name: [_numbers(history[column]) for column in columns]
                for name, columns in tables.TIME_COLUMNS.items()
                if np.isfinite(history[columns[0]]).any()
            },
        },
        "outcomes": {
            "x": _days(outcomes["activity_date"]),
            "distance": outcomes["distance"].tolist(),
            "error": _numbers(outcomes["error_pct"]),
            "inside": outcomes["in_interval"].tolist(),
        },
    }


def is_load_known(shown: Shown) -> bool:
    """Whether fitness is a number: it is not where no recent activity has a load."""
    return shown.summary["fitness_ctl"] is not None and len(shown.columns["load"]["as_of_date"]) > 0


def predictions(shown: Shown) -> list[Prediction]:
    """The newest predicted times, of the distances that have one, and how far they moved."""
    history = shown.columns["history"]
    days = history["prediction_date"]
    if not len(days):
        return []
    before = np.flatnonzero(days <= days[-1] - np.timedelta64(MOVED_DAYS, "D"))
    found = []
    for name, columns in tables.TIME_COLUMNS.items():
        predicted, fast, slow = (float(history[column][-1]) for column in columns)
        if predicted == predicted:
            earlier = float(history[columns[0]][before[-1]]) if len(before) else float("nan")
            moved = predicted - earlier if earlier == earlier else None
            found.append(Prediction(name, predicted, fast, slow, moved))
    return found


def weekly_km(shown: Shown) -> tuple[list[date], list[float]]:
    """Mondays and kilometres of each week: of late from the days, before that from the weekly table."""
    calendar, weeks = shown.columns["calendar"], shown.columns["weeks"]
    turn = first_day_of_calendar(shown.as_of)
    old = weeks["week_start"].astype(date) < turn if len(weeks["week_start"]) else np.zeros(0, bool)
    km: dict[date, float] = dict(
        zip(weeks["week_start"][old].tolist(), weeks["weekly_distance_km"][old].tolist(), strict=True)
    )
    for day, distance in zip(calendar["activity_date"].tolist(), calendar["distance_km"].tolist(), strict=True):
        km[monday_of(day)] = km.get(monday_of(day), 0.0) + distance
    return list(km), [round(value, 1) for value in km.values()]


def zone_hours(shown: Shown) -> dict[str, Any]:
    """By week, the hours in zones 1 to 5, and as sixth those without a zone, of all activities; the last ZONE_WEEKS."""
    runs = shown.columns["runs"]
    first = monday_of(shown.as_of) - timedelta(weeks=ZONE_WEEKS - 1)
    mondays = [first + timedelta(weeks=n) for n in range(ZONE_WEEKS)]
    hours = np.zeros((len(ZONES) + 1, ZONE_WEEKS))
    if len(runs["activity_date"]):
        week = (runs["activity_date"] - np.datetime64(first, "D")).astype(np.int64) // 7
        recent = (week >= 0) & (week < ZONE_WEEKS)
        share = np.array([runs[name][recent] for name in ZONES])
        unknown = np.isnan(share).any(axis=0)
        parts = np.vstack([np.where(unknown, 0.0, share), unknown.astype(float)])
        np.add.at(hours.T, week[recent], (parts * runs["moving_time_min"][recent] / 60).T)
    return {"x": [str(day) for day in mondays], "hours": np.round(hours, 2).tolist()}


def easy_runs(shown: Shown) -> Columns:
    """The runs of at least EASY_MINUTES with a mean heart rate below EASY_SHARE of the highest."""
    runs = shown.columns["runs"]
    is_run = np.isin(runs["sport_type"].astype(str), tables.RUN_SPORTS)
    with np.errstate(invalid="ignore"):
        easy = (runs["avg_hr"] < EASY_SHARE * runs["hr_max_bpm"]) & (runs["moving_time_min"] >= EASY_MINUTES)
    keep = is_run & easy & np.isfinite(runs["pace_min_km"])
    return {name: runs[name][keep] for name in ("activity_date", "pace_min_km", "avg_hr")}


def monthly_medians(easy: Columns) -> list[tuple[date, int, float, float]]:
    """By month: its first day, how many easy runs, their median pace (min/km) and heart rate (bpm)."""
    months = easy["activity_date"].astype("datetime64[M]")
    found = []
    for month in np.unique(months):
        mine = months == month
        pace, heart_rate = (float(np.median(easy[name][mine])) for name in ("pace_min_km", "avg_hr"))
        found.append((month.astype("datetime64[D]").astype(date), int(mine.sum()), pace, heart_rate))
    return found


def _weeks(shown: Shown) -> dict[str, Any]:
    mondays, km = weekly_km(shown)
    return {"x": [str(day) for day in mondays], "km": km}


def _calendar_numbers(shown: Shown) -> dict[str, Any]:
    calendar = shown.columns["calendar"]
    return {
        "x": _days(calendar["activity_date"][-1:] if not len(calendar["activity_date"]) else calendar["activity_date"]),
        "tss": _numbers(calendar["daily_tss"]),
        "km": _numbers(calendar["distance_km"]),
    }


def _easy_numbers(shown: Shown) -> dict[str, Any]:
    easy = easy_runs(shown)
    medians = monthly_medians(easy)
    return {
        "x": _days(easy["activity_date"]),
        "pace": _numbers(easy["pace_min_km"]),
        "hr": _numbers(easy["avg_hr"]),
        "months": [str(month + timedelta(days=14)) for month, _, _, _ in medians],
        "median_pace": [round(pace, 3) for _, _, pace, _ in medians],
        "median_hr": [round(heart_rate, 1) for _, _, _, heart_rate in medians],
    }


def _fan(found: list[Prediction]) -> dict[str, Any]:
    kilometres = [tables.DISTANCES_M[one.name] / 1000 for one in found]
    return {
        "name": [one.name for one in found],
        "km": [round(km, 3) for km in kilometres],
        **{
            part: [round(getattr(one, part) / 60 / km, 3) for one, km in zip(found, kilometres, strict=True)]
            for part in ("predicted", "fast", "slow")
        },
    }


def projection_numbers(shown: Shown) -> dict[str, Any]:
    """By scenario, the days ahead with fitness and form; each begins with the newest day that is known."""
    projected, load = shown.columns["projected"], shown.columns["load"]
    found = {}
    for scenario in tables.SCENARIOS:
        mine = projected["scenario"] == scenario
        if mine.any() and is_load_known(shown):
            found[scenario] = {
                "x": _days(np.append(load["as_of_date"][-1:], projected["projected_date"][mine])),
                "ctl": _numbers(np.append(load["ctl_42d"][-1:], projected["fitness_ctl"][mine])),
                "tsb": _numbers(np.append(load["tsb"][-1:], projected["form_tsb"][mine])),
            }
    return found


def _days(values: NDArray[Any]) -> list[str]:
    return values.astype(str).tolist()  # type: ignore[no-any-return]


def _numbers(values: NDArray[Any]) -> list[float | int | None]:
    """Numbers as short as they are: whole ones without a point, None where not known."""
    return [None if value != value else int(value) if float(value).is_integer() else value for value in values.tolist()]


# -------------------------------------------------------------------------------------------------------------- words


def _tiles(shown: Shown, words: Words) -> list[dict[str, str]]:
    summary = shown.summary
    form = summary["form_tsb"]
    return [
        {
            "name": words("fitness"),
            "value": words.number(summary["fitness_ctl"], 1),
            "sub": _year_ago(shown, words) if is_load_known(shown) else words("not_known"),
        },
        {"name": words("fatigue"), "value": words.number(summary["fatigue_atl"], 1), "sub": words("fatigue_sub")},
        {
            "name": words("form"),
            "value": words.number(form, 1, sign=True),
            "sub": words(f"form_{form_band(form)}") if form is not None else words("not_known"),
        },
        {
            "name": words("ramp_7d"),
            "value": words.number(summary["ramp_rate_7d"], 1, sign=True),
            "sub": words("fitness_sub"),
        },
        {
            "name": words("distance_28d"),
            "value": f"{words.number(summary['distance_28d_km'], 1)} km",
            "sub": words("distance_year", value=f"{words.number(summary['distance_365d_km'])} km"),
        },
        {
            "name": words("last_activity"),
            "value": words.ago(summary["days_since_activity"]),
            "sub": words.day(summary["last_activity_date"]),
        },
    ]


def _year_ago(shown: Shown, words: Words) -> str:
    then = shown.summary["fitness_ctl_365d_ago"]
    return words("year_ago_unknown") if then is None else words("year_ago", value=words.number(then, 1))


def _notes(shown: Shown, words: Words) -> list[str]:
    notes = []
    if not is_load_known(shown):
        notes.append(words("no_load"))
    state = shown.columns["state"]
    if len(state["warmup"]) and state["warmup"][-1]:
        notes.append(words("warmup"))
    return notes


def _load_table(shown: Shown, words: Words) -> dict[str, Any] | None:
    if not is_load_known(shown):
        return None
    load = shown.columns["load"]
    days, ctl, atl, tsb = (load[name] for name in ("as_of_date", "ctl_42d", "atl_7d", "tsb"))
    best = int(np.argmax(ctl))
    # the newest day, then the last shown day of each month
    months = days.astype("datetime64[M]")
    last = np.flatnonzero(np.append(months[1:] != months[:-1], True))[::-1]
    return {
        "alt": words(
            "load_alt",
            day=words.day(shown.as_of),
            ctl=words.number(float(ctl[-1]), 1),
            atl=words.number(float(atl[-1]), 1),
            tsb=words.number(float(tsb[-1]), 1, sign=True),
            best=words.number(float(ctl[best]), 1),
            best_day=words.day(days[best].astype(date)),
        ),
        "head": [words("day"), words("fitness"), words("fatigue"), words("form")],
        "rows": [
            [
                words.day(days[at].astype(date)),
                words.number(float(ctl[at]), 1),
                words.number(float(atl[at]), 1),
                words.number(float(tsb[at]), 1, sign=True),
            ]
            for at in last
        ],
    }


def _projection(shown: Shown, words: Words) -> dict[str, Any] | None:
    projected, room = shown.columns["projected"], shown.columns["room"]
    scenarios = [name for name in tables.SCENARIOS if (projected["scenario"] == name).any()]
    if not scenarios or not is_load_known(shown):
        return None
    rows = []
    for name in scenarios:
        mine = {column: values[projected["scenario"] == name] for column, values in projected.items()}
        rows.append(
            [
                words(f"scenario_{name}"),
                words.number(float(mine["load_tss"].mean())),
                words.number(float(mine["fitness_ctl"][-1]), 1),
                words.number(float(mine["fatigue_atl"][-1]), 1),
                words.number(float(mine["form_tsb"][-1]), 1, sign=True),
                words.number(float(mine["acwr"][-1]), 2),
            ]
        )
    last = projected["projected_date"].max().astype(date)
    head = [words("scenario"), *(words(key) for key in ("daily_load", "fitness", "fatigue", "form")), "ACWR"]
    return {
        "then": words("then", day=words.day(last)),
        "head": head,
        "rows": rows,
        "room": [_room(room, words), *_taper(room, words)] if len(room["as_of_date"]) else [],
    }


def _room(room: Columns, words: Words) -> str:
    load, limit = _known(room["room_today_tss"][-1]), room["room_limited_by"][-1]
    if load is None:
        return words.known(f"room_{room['room_unknown_reason'][-1]}", words("not_known"))
    if load == 0:
        return words("room_none", limit=words(f"room_{limit}"))
    minutes = words.number(_known(room["room_today_min"][-1]))
    return words("room", load=words.number(load), minutes=minutes, limit=words(f"room_{limit}"))


def _taper(room: Columns, words: Words) -> list[str]:
    """What leads to the form wanted on the day of the next planned race; nothing without one."""
    race = room["race_date"][-1].astype(date)
    if race is None:
        return []
    load = _known(room["taper_load_tss"][-1])
    wanted, rest = (
        words.number(_known(room[name][-1]), 1, sign=True) for name in ("race_form_target_tsb", "race_form_at_rest_tsb")
    )
    said = {"day": words.day(race), "form": wanted, "rest": rest}
    return [words("taper_rest", **said) if load is None else words("taper", load=words.number(load), **said)]


def _volume(shown: Shown, words: Words) -> dict[str, Any]:
    mondays, km = weekly_km(shown)
    full = km[:-1] if shown.as_of.weekday() < 6 else km
    zones = zone_hours(shown)
    hours = dict(zip(zones["x"], np.array(zones["hours"]).T.tolist(), strict=True))
    head = [words("week"), words("km"), *(words("zone", number=number) for number in range(1, 6))]
    rows = []
    for monday, distance in list(zip(mondays, km, strict=True))[::-1][:ZONE_WEEKS]:
        parts = hours.get(str(monday), [])
        rows.append([words.day(monday), words.number(distance, 1), *(words.number(part, 1) for part in parts)])
    return {
        "alt": words(
            "volume_alt",
            count=len(km),
            recent=words.number(_mean(full[-MEAN_WEEKS:]), 1),
            year=words.number(_mean(full[-52:]), 1),
            day=words.day(mondays[-1] if mondays else shown.as_of),
        ),
        "has_zones": any(sum(of_zone) for of_zone in zones["hours"][: len(ZONES)]),
        "head": [*head, words("no_heart_rate")],
        "rows": rows,
    }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _calendar(shown: Shown, words: Words) -> dict[str, Any] | None:
    calendar = shown.columns["calendar"]
    days = calendar["activity_date"]
    year = days > np.datetime64(shown.as_of - timedelta(days=365), "D") if len(days) else np.zeros(0, bool)
    if not year.any():
        return None
    days, activities, load, km = (
        calendar[name][year] for name in ("activity_date", "activities", "daily_tss", "distance_km")
    )
    best = int(np.argmax(load))
    months = days.astype("datetime64[M]")
    return {
        "alt": words(
            "calendar_alt",
            active=int((activities > 0).sum()),
            rest=int((activities == 0).sum()),
            best=words.number(float(load[best])),
            best_day=words.day(days[best].astype(date)),
        ),
        "head": [words("month"), words("active_days"), words("load"), words("km")],
        "rows": [
            [
                words.month(month.astype("datetime64[D]").astype(date)),
                words.number(int((activities[months == month] > 0).sum())),
                words.number(float(load[months == month].sum())),
                words.number(float(km[months == month].sum())),
            ]
            for month in np.unique(months)[::-1]
        ],
    }


def _easy(shown: Shown, words: Words) -> dict[str, Any] | None:
    easy = easy_runs(shown)
    medians = monthly_medians(easy)
    if not medians:
        return None

    def said(month: tuple[date, int, float, float]) -> str:
        return f"{words.pace(month[2])}, {words.number(month[3])} bpm"

    return {
        "alt": words("easy_alt", count=len(easy["avg_hr"]), first=said(medians[0]), last=said(medians[-1])),
        "head": [words("month"), words("runs"), words("pace"), words("heart_rate")],
        "rows": [
            [words.month(month), words.number(count), words.pace(pace), words.number(heart_rate)]
            for month, count, pace, heart_rate in medians[::-1]
        ],
    }


def _predictions(shown: Shown, words: Words) -> dict[str, Any] | None:
    found = predictions(shown)
    if not found:
        return None
    newest, history = shown.columns["newest"], shown.columns["history"]
    served_by = newest["served_by"][-1] if len(newest["served_by"]) else None
    version = newest["model_version"][-1] if served_by else None
    reasons = newest["top_reasons"][-1] if served_by else None
    days = history["prediction_date"]
    known = [name for name, columns in tables.TIME_COLUMNS.items() if np.isfinite(history[columns[0]]).any()]
    # today, and every fourth week before
    steps = [len(days) - 1]
    for at in range(len(days) - 2, -1, -1):
        if days[steps[-1]] - days[at] >= np.timedelta64(MOVED_DAYS, "D"):
            steps.append(at)
    return {
        "served": words(f"served_{served_by}", version=version) if served_by else "",
        "basis": _basis(shown, words),
        "reasons": reasons.split("\n") if reasons else [],
        "rows": [
            {
                "distance": words(one.name),
                "predicted": words.time(one.predicted),
                "interval": f"{words.time(one.fast)} – {words.time(one.slow)}",
                "pace": words.pace(one.predicted / 60 / (tables.DISTANCES_M[one.name] / 1000)),
                "moved": words.change(one.moved),
                "best": _best_said(shown, one.name, words),
            }
            for one in found
        ],
        "history_alt": words(
            "history_alt", first=words.day(days[0].astype(date)), last=words.day(days[-1].astype(date))
        ),
        "history_short": words("history_short", day=words.day(days[0].astype(date))) if len(days) < 2 else "",
        "history_names": [(name, words(name)) for name in known],
        "history_head": [words("day"), *(words(name) for name in known)],
        "history_rows": [
            [
                words.day(days[at].astype(date)),
                *(words.time(_known(history[tables.TIME_COLUMNS[name][0]][at])) for name in known),
            ]
            for at in steps
        ],
    }


def _best_said(shown: Shown, name: str, words: Words) -> str:
    seconds, day = shown.summary[f"best_{name}_s"], shown.summary[f"best_{name}_date"]
    return UNKNOWN if seconds is None else f"{words.time(seconds)} ({words.day(day)})"


def _known(value: float) -> float | None:
    return None if value != value else float(value)


def _outcomes(shown: Shown, words: Words) -> dict[str, Any] | None:
    outcomes = shown.columns["outcomes"]
    count = len(outcomes["activity_date"])
    if not count:
        return None
    # a prediction made after the effort may have learned from it: shown, and not judged
    ahead = np.array([not later for later in outcomes["is_backfilled"].tolist()])
    judged = [value for value in outcomes["in_interval"][ahead].tolist() if value is not None]
    newest = range(count - 1, max(-1, count - 1 - OUTCOMES_LISTED), -1)
    return {
        "lead": words(
            "outcomes_lead",
            inside=sum(judged),
            count=len(judged),
            error=words.percent(float(np.abs(outcomes["error_pct"][ahead]).mean()) / 100, 1),
        )
        if judged
        else words("outcomes_backfilled"),
        "rows": [
            {
                "day": words.day(outcomes["activity_date"][at].astype(date)),
                "distance": words.known(outcomes["distance"][at], outcomes["distance"][at]),
                "predicted": words.time(_known(outcomes["predicted_s"][at])),
                "interval": f"{words.time(_known(outcomes['p10_s'][at]))} – "
                f"{words.time(_known(outcomes['p90_s'][at]))}",
                "run": words.time(_known(outcomes["run_s"][at])),
                "error": words.percent(float(outcomes["error_pct"][at]) / 100, 1, sign=True),
                "inside": _yes_no(outcomes["in_interval"][at], words) if ahead[at] else words("predicted_later"),
            }
            for at in newest
        ],
    }


def _yes_no(value: bool | None, words: Words) -> str:
    return UNKNOWN if value is None else words("yes") if value else words("no")


def record_names(columns: tuple[str, ...] = tables.METRICS_SUMMARY.column_names) -> list[str]:
    """The distances whose best the summary holds, in its order."""
    names = [column[len("best_") : -len("_s")] for column in columns if column.startswith("best_")]
    return [name for name in names if f"best_{name}_s" in columns and f"best_{name}_date" in columns]


def _records(shown: Shown, words: Words) -> list[list[str]]:
    return [
        [words.known(name, name), words.time(shown.summary[f"best_{name}_s"]), words.day(summary_day)]
        for name in record_names()
        if (summary_day := shown.summary[f"best_{name}_date"]) is not None
    ]


def _basis(shown: Shown, words: Words) -> str:
    """The run that the prediction starts from."""
    summary = shown.summary
    if summary["recent_effort_time_s"] is None:
        return ""
    return words(
        "basis",
        distance=words.number(summary["recent_effort_distance_m"] / 1000, 1),
        time=words.time(summary["recent_effort_time_s"]),
        day=words.day(summary["recent_effort_date"]),
    )


def _standing(shown: Shown, words: Words) -> list[tuple[str, str]]:
    summary = shown.summary
    grade, at = summary["age_grade"], summary["age_grade_distance"]
    return [
        (words("vdot"), words("not_known") if summary["vdot"] is None else words.number(summary["vdot"], 1)),
        (
            words("age_grade"),
            words("age_grade_unknown")
            if grade is None
            else words("age_grade_at", grade=words.percent(grade, 1), distance=words.known(at, at)),
        ),
        (words("streak"), words.number(summary["streak_weeks"])),
        (words("consistency"), words.percent(summary["consistency_score"])),
    ]


def _thresholds(shown: Shown, words: Words) -> list[list[str]]:
    summary = shown.summary
    heart_rate = summary["hr_max_bpm"]

    def source(name: str | None) -> str:
        return words("not_known") if name is None else words.known(f"source_{name}", name)

    return [
        [
            words("threshold_pace"),
            words.pace(summary["threshold_pace_min_km"]),
            source(summary["threshold_source"]),
        ],
        [
            words("hr_max"),
            UNKNOWN if heart_rate is None else f"{words.number(heart_rate)} bpm",
            source(summary["hr_max_source"]),
        ],
    ]


def is_at_risk(shown: Shown) -> bool | None:
    """The overload rule on the newest day; None where it is not known."""
    rule = shown.columns["state"]["is_overtraining_risk"]
    return bool(rule[-1]) if len(rule) and rule[-1] is not None else None


def risk_reasons(shown: Shown) -> list[str]:
    """Names of what is above its limit."""
    reasons = shown.columns["state"]["risk_reasons"]
    return reasons[-1].split("\n") if len(reasons) and reasons[-1] else []


def disruption(shown: Shown) -> float | None:
    """Probability of a training break within 14 days; None where the detector does not say."""
    found = shown.columns["newest"]["p_disruption_14d"]
    return _known(found[-1]) if len(found) else None


def _risk(shown: Shown, words: Words, settings: Settings) -> dict[str, Any]:
    state, newest = shown.columns["state"], shown.columns["newest"]
    limits = {"acwr": settings.acwr_risk, "training_monotony_7d": settings.monotony_risk}
    values = {name: _known(state[name][-1]) if len(state[name]) else None for name in limits}
    at_risk = is_at_risk(shown)
    probability = disruption(shown)
    why = newest["p_disruption_reason"][-1] if len(newest["p_disruption_reason"]) else words("no_prediction_yet")
    return {
        "at_risk": at_risk,
        "rule": words("rule_unknown" if at_risk is None else "rule_yes" if at_risk else "rule_no"),
        "reasons": [
            words(f"reason_{name}", value=words.number(values[name], 2), limit=words.number(limits[name], 1))
            if name in limits
            else name
            for name in risk_reasons(shown)
        ],
        "rows": [
            [
                words({"acwr": "acwr", "training_monotony_7d": "monotony"}[name]),
                words.number(values[name], 2),
                words("limit", value=words.number(limit, 1)),
            ]
            for name, limit in limits.items()
        ],
        "disruption": words("disruption_unknown", reason=why or words("not_known"))
        if probability is None
        else words.percent(probability),
    }


def _quality(shown: Shown, words: Words) -> dict[str, Any]:
    runs = shown.columns["runs"]
    days = runs["activity_date"]
    year = days > np.datetime64(shown.as_of - timedelta(days=QUALITY_DAYS), "D") if len(days) else np.zeros(0, bool)
    count = int(year.sum())

    def share(part: int) -> str:
        if not count:
            return words("not_known")
        return words(
            "quality_of", share=words.percent(part / count), part=words.number(part), count=words.number(count)
        )

    return {
        "rows": [
            [words("quality_load"), share(int((runs["load_method"][year] == "none").sum()))],
            [words("quality_hr"), share(int(np.isfinite(runs["avg_hr"][year]).sum()))],
        ],
        "rejects": [[reason, words.number(rows)] for reason, rows in shown.rejects.items()],
    }


def prediction_moved(found: list[Prediction], name: str = "10k") -> tuple[float | None, float | None]:
    """Predicted time (s) at a distance, and how far it moved; None where not known."""
    one: Mapping[str, Prediction] = {each.name: each for each in found}
    return (one[name].predicted, one[name].moved) if name in one else (None, None)
