"""What counts as an effort: the one rule for thresholds, bests, baselines and labels.

An effort is continuous. Distance over moving time with the rests cut out is the speed of repetitions, which nobody
holds: a session that stood still for more than LONGEST_PAUSE_SHARE of its moving time is load, and no effort. In a race
the clock runs on, and counts. Where elapsed time is unknown (missing, or equal to moving time to the second, as sources
write it that have only one of them) nothing tells a session of repetitions from a run: the time counts, but only up to
CLOCKLESS_LEAD times the athlete's usual speed.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

LONGEST_PAUSE_SHARE = 0.05
CLOCKLESS_LEAD = 1.4
"""In the shared real runs the best of 20-60 min lies below 1.38 medians in 95 % of all windows of 90 days; 400 m
repetitions with rests come out at 1.5 and more."""


def effort_time(moving: Column, elapsed: Column, is_race: Column) -> Column:
    """The time with which a run counts as an effort, in the unit of the others; null where it is none.

    moving: known; elapsed: null where unknown; is_race: never null.
    """
    return F.when(is_race & (elapsed >= moving), elapsed).when(
        is_race | elapsed.isNull() | (elapsed <= moving * (1 + LONGEST_PAUSE_SHARE)), moving
    )


def is_continuous(moving: Column, elapsed: Column, is_race: Column) -> Column:
    """Whether a run was continuous; null where its clock is unknown. A race is one by definition."""
    return F.when(is_race, F.lit(True)).when(has_clock(moving, elapsed), elapsed <= moving * (1 + LONGEST_PAUSE_SHARE))


def has_clock(moving: Column, elapsed: Column) -> Column:
    """Whether elapsed time says anything that moving time does not."""
    return elapsed.isNotNull() & (elapsed != moving)
