"""Which days' features may differ after silver changed: what the sensor asks to be computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

from athlete_assets.days import ONE_DAY, Days, merged
from athlete_assets.features import activity
from athlete_assets.settings import Settings
from athlete_assets.silver import quality
from athlete_assets.silver.changes import Touched


def affected_days(
    touched: Touched, known_days: Callable[[Iterable[str]], Mapping[str, list[date]]], settings: Settings
) -> dict[str | None, list[Days]]:
    """By athlete the days whose activity and daily features may differ now, as windows in order, inside the calendar.

    None stands for rows without an athlete, which no run of some athletes sees.

    From each touched day D of an athlete, and never a day before it (a row of a day rests on silver up to it alone):
    - quality.CONTEXT_DAYS after D, because a record may be dropped for one that began before midnight;
    - `activity.history_days` more days, because an activity's threshold pace and maximum heart rate rest on the
      trailing history (365 days by default);
    - where D lies before all activities of the athlete that stay: the days up to the first that stays (to today where
      none does), because the dense calendar of athlete_daily_features begins with the first activity. `known_days`
      gives the athletes' days with an activity as the features know them.
    An athlete's changed statements reach from the day on which they become valid, or the first activity where that is
    later, to today. Weekly features follow the daily ones by week, and the week after (change against the week before);
    rolling features from the first affected day to today.
    """
    today, start = settings.today, settings.start_date
    reach = quality.CONTEXT_DAYS + activity.history_days(settings)
    windows: dict[str | None, list[Days]] = {
        athlete: [Days(day, min(day + timedelta(days=reach), today)) for day in days]
        for athlete, days in touched.days.items()
    }
    far = {
        athlete: days
        for athlete, days in touched.days.items()
        if athlete is not None and min(days) + timedelta(days=reach) < today
    }
    in_force = {athlete: day for athlete, day in touched.restated.items() if day is None or day <= today}
    asked = {*far, *in_force}
    known = known_days(asked) if asked else {}
    for athlete, days in far.items():
        near = {day + n * ONE_DAY for day in days for n in range(quality.CONTEXT_DAYS + 1)}
        first_that_stays = min((day for day in known.get(athlete, []) if day not in near), default=today)
        if min(days) < first_that_stays:
            windows[athlete].append(Days(min(days), first_that_stays))
    for athlete, day in in_force.items():
        if known.get(athlete):
            window = Days(max(day or known[athlete][0], known[athlete][0]), today)
            windows.setdefault(athlete, []).append(window)
    if touched.outside:
        # a run of all athletes writes such rows to the rejects, whichever day it is about
        newest = min(max((window.last for of in windows.values() for window in of), default=today), today)
        windows.setdefault(None, []).append(Days(newest, newest))
    inside = {
        athlete: merged(Days(max(of.first, start), min(of.last, today)) for of in days if of.last >= start)
        for athlete, days in windows.items()
    }
    return {athlete: days for athlete, days in inside.items() if days}
