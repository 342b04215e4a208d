"""The table contracts: name, keys, timestamp key, and each column's type, unit and sentence, in order.

Schemas (Arrow and Spark), the documentation in Dagster and in Unity Catalog, and the schema checks all follow from
the objects here. A calendar day is a TIMESTAMP at midnight UTC (`days.midnight`): DATE keys break the Databricks
feature store's point-in-time join. `month` (yyyy-MM of the table's day column) is each windowed table's partition.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

STRING, BIGINT, INT, DOUBLE, BOOLEAN = "string", "bigint", "int", "double", "boolean"
TIMESTAMP, LOCAL_TIMESTAMP, STRINGS = "timestamp", "timestamp_ntz", "array<string>"
DOUBLES = "array<double>"

RIDE_SPORTS = ("Ride", "VirtualRide", "MountainBikeRide", "GravelRide")
"""The sports whose power is the rider's, and measured at the pedals; of an e-bike nobody knows whose it is."""

RUN_SPORTS = ("Run", "TrailRun", "VirtualRun")
"""The sports whose pace, distance and load count as running, in the spelling that silver.quality normalises to."""

DISTANCES_M: dict[str, float] = {"5k": 5000.0, "10k": 10000.0, "half": 21097.5, "marathon": 42195.0}
"""The four race distances by the name that columns carry."""

BEST_DISTANCES_M = {"1k": 1000.0, "mile": 1609.344, **DISTANCES_M}
"""The distances at which an athlete's bests are told."""

INGESTED = "silver_ingestion_timestamp"
"""When a silver row was written: not part of what it says."""

OUTSIDE_CALENDAR = "none"
"""The `month` of rejected rows that belong to no partition: no date, or one outside the calendar."""


@dataclass(frozen=True)
class Column:
    """One column: Spark SQL type, one sentence, unit ('' where it has none), and whether it may be null."""

    name: str
    type: str
    comment: str
    unit: str = ""
    nullable: bool = True
    required: bool = True
    """False for a silver column that upstream may lack: it is then read as null."""
    low: float | None = None
    """The lowest value that can be right; the `ranges` asset check fails below it."""
    high: float | None = None
    """The highest value that can be right; the `ranges` asset check fails above it."""


class Cadence(Enum):
    """When a table is written and over what: jobs, schedules, sensors, freshness and `run` follow from it."""

    EXTERNAL = "other pipelines or an import write it; a sensor looks at it"
    DAILY = "days: a window of them is enough"
    STATE = "days: looks back, so that what changes on one day reaches all later ones"
    WEEKLY = "weeks: follows the days in them"
    TRAINING = "whole, with Monday's training"
    SCORED = "with the predictions of today, once there is a model; by day where it has a day column, else whole"
    SUMMARY = "whole, after today's features"


@dataclass(frozen=True)
class Table:
    """One table: where it lives, what identifies a row, and which column says what day or week it belongs to."""

    schema: str
    name: str
    comment: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    day_column: str | None = None
    """The TIMESTAMP column by which windows are read and replaced; None for a table that is replaced whole."""
    feature_table: bool = False
    nullable_keys: tuple[str, ...] = ()
    """The keys in which null is a value like others, equal to itself; elsewhere a row without a full key has no key."""
    cadence: Cadence = field(kw_only=True)

    @property
    def path(self) -> tuple[str, str]:
        """Schema and name: the asset key, and the folder below the catalog."""
        return (self.schema, self.name)

    @property
    def timestamp_key(self) -> str | None:
        """The feature store's point-in-time key."""
        return self.day_column if self.feature_table else None

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def types(self, *names: str) -> dict[str, str]:
        """Spark types by name, of the given columns."""
        return {name: self.column(name).type for name in names}

    def full_name(self, catalog: str) -> str:
        return f"{catalog}.{self.schema}.{self.name}"

    @property
    def ddl(self) -> str:
        """The Spark schema as DDL, in column order."""
        return ", ".join(
            f"`{column.name}` {column.type}{'' if column.nullable else ' NOT NULL'}" for column in self.columns
        )


def _key(name: str, type: str, comment: str) -> Column:
    return Column(name, type, comment, nullable=False)


def _month(of: str) -> Column:
    return Column("month", STRING, f"Month of {of}, yyyy-MM: the table's partition.", nullable=False)


_ATHLETE = _key("athlete_id", STRING, "The athlete.")

# --------------------------------------------------------------------------------------------------------- silver

_SILVER_ACTIVITY_COLUMNS = (
    Column("athlete_id", STRING, "The athlete."),
    Column("id", BIGINT, "The activity, unique for an athlete."),
    Column("start_date", TIMESTAMP, "Start of the activity in UTC."),
    Column("start_date_local", LOCAL_TIMESTAMP, "Start on the athlete's clock; its date is the activity's day."),
    Column("timezone", STRING, "IANA name of the athlete's zone.", required=False),
    Column("sport_type", STRING, "Sport as the source spells it."),
    Column("workout_type", INT, "Strava's workout type; 1 is a race for runs.", required=False),
    Column("distance", DOUBLE, "Distance covered.", "m"),
    Column("moving_time", DOUBLE, "Time in motion.", "s"),
    Column("elapsed_time", DOUBLE, "Time from start to end.", "s"),
    Column("total_elevation_gain", DOUBLE, "Climbing.", "m", required=False),
    Column("average_heartrate", DOUBLE, "Mean heart rate; 0 means none.", "bpm", required=False),
    Column("max_heartrate", DOUBLE, "Highest heart rate.", "bpm", required=False),
    Column("manual", BOOLEAN, "Typed in by hand.", required=False),
    Column("trainer", BOOLEAN, "Indoors.", required=False),
    Column("grade_adjusted_distance", DOUBLE, "Flat metres of equal effort, as the source says.", "m", required=False),
    Column("perceived_exertion", DOUBLE, "How hard it was, 1 to 10, as the athlete says.", required=False),
    Column("weighted_power_w", DOUBLE, "Power of equal strain, held evenly.", "W", required=False),
    Column(
        "own_load",
        DOUBLE,
        "The session's load, as the athlete says; 100 is an hour at threshold.",
        "TSS",
        required=False,
    ),
    Column(
        "source",
        STRING,
        "Where the row came from: strava_export, garmin_export, apple_health, recording, simulated, file, strava_api.",
        required=False,
    ),
    Column("silver_ingestion_timestamp", TIMESTAMP, "When the row was written to silver."),
)

STRAVA_ACTIVITIES = Table(
    "silver",
    "strava_activities",
    "One row an activity, as the upstream pipeline cleaned it. Read only.",
    _SILVER_ACTIVITY_COLUMNS,
    keys=("athlete_id", "id"),
    cadence=Cadence.EXTERNAL,
)

STRAVA_SUB_ACTIVITY = Table(
    "silver",
    "strava_sub_activity",
    "One row a split or lap of an activity. Read only.",
    (
        Column("athlete_id", STRING, "The athlete."),
        Column("activity_id", BIGINT, "The activity that the split belongs to."),
        Column("split_id", BIGINT, "The split, numbered within its activity."),
        Column("distance", DOUBLE, "Distance covered.", "m"),
        Column("moving_time", DOUBLE, "Time in motion.", "s"),
        Column("elapsed_time", DOUBLE, "Time from start to end.", "s"),
        Column("elevation_difference", DOUBLE, "Height at the end less height at the start.", "m", required=False),
        Column("average_heartrate", DOUBLE, "Mean heart rate.", "bpm", required=False),
        Column("max_heartrate", DOUBLE, "Highest heart rate.", "bpm", required=False),
        Column("silver_ingestion_timestamp", TIMESTAMP, "When the row was written to silver."),
    ),
    keys=("athlete_id", "activity_id", "split_id"),
    cadence=Cadence.EXTERNAL,
)

OWN_WORD = "athlete"
"""`source` of what an athlete said here (`athlete-assets athlete`): no import replaces it."""

STRAVA_ATHLETE = Table(
    "silver",
    "strava_athlete",
    "What an athlete states about himself or herself, and from which day it holds. Optional. A row states what is not "
    "null in it: of each column the newest statement that is valid on a day holds on it, and no earlier day knows it.",
    (
        Column("athlete_id", STRING, "The athlete."),
        Column("valid_from", TIMESTAMP, "The first day on which it holds; null: it always did.", required=False),
        Column("sex", STRING, "F or M: chooses Banister's heart-rate weighting.", required=False),
        Column("birth_year", INT, "Year of birth.", required=False),
        Column("max_hr_bpm", DOUBLE, "Maximum heart rate.", "bpm", required=False),
        Column("resting_hr_bpm", DOUBLE, "Resting heart rate.", "bpm", required=False),
        Column("threshold_hr_bpm", DOUBLE, "Heart rate that can be held for about an hour.", "bpm", required=False),
        Column("threshold_pace_min_km", DOUBLE, "Pace that can be held for about an hour.", "min/km", required=False),
        Column("ftp_w", DOUBLE, "Power on a bicycle that can be held for about an hour.", "W", required=False),
        Column(
            "zone_method",
            STRING,
            "What heart-rate zones are shares of: max_hr (the default), hr_reserve, threshold_hr; or bounds.",
            required=False,
        ),
        *(
            Column(f"zone_{zone}_from_bpm", DOUBLE, f"Of own bounds: where zone {zone} begins.", "bpm", required=False)
            for zone in range(2, 6)
        ),
        Column(
            "load_preference",
            STRING,
            "What a run's load rests on first: pace (the default), heart_rate.",
            required=False,
        ),
        Column(
            "starting_fitness",
            DOUBLE,
            "ctl_42d on the morning of valid_from, or of the log's first day where that is later.",
            "TSS/day",
            required=False,
        ),
        Column("starting_fatigue", DOUBLE, "atl_7d on that morning.", "TSS/day", required=False),
        Column(
            "source",
            STRING,
            "athlete: said to athlete-assets; it outdoes an import of its day.",
            required=False,
        ),
    ),
    keys=("athlete_id", "valid_from", "source"),
    nullable_keys=("valid_from", "source"),
    cadence=Cadence.EXTERNAL,
)

STRAVA_RECORDING = Table(
    "silver",
    "strava_recording",
    "What an activity's recording (FIT, GPX, TCX) tells beyond its summary; no positions. Optional: absent is unknown.",
    (
        Column("athlete_id", STRING, "The athlete."),
        Column("activity_id", BIGINT, "The activity that was recorded."),
        Column("digest", STRING, "SHA-256 of the recording's unpacked bytes.", required=False),
        Column("utc_offset_s", INT, "The athlete's clock less UTC.", "s", required=False),
        Column("distance", DOUBLE, "Distance recorded.", "m", required=False),
        Column("elapsed_time", DOUBLE, "From the first to the last sample.", "s", required=False),
        Column("pause_s", DOUBLE, "Of it, time standing or with the timer stopped.", "s", required=False),
        Column(
            "graded_distance",
            DOUBLE,
            "Flat metres of equal effort: Minetti on the smoothed height; null without heights.",
            "m",
            required=False,
        ),
        Column(
            "seconds_by_bpm",
            DOUBLES,
            "Seconds at each heart rate from 30 to 230 bpm, 201 numbers; null without heart rate.",
            "s",
            required=False,
        ),
        Column("average_power_w", DOUBLE, "Mean power; null without a power meter.", "W", required=False),
        Column(
            "weighted_power_w",
            DOUBLE,
            "Fourth root of the mean fourth power of the 30 s rolling mean (Coggan's normalised power).",
            "W",
            required=False,
        ),
        Column("gps_jumps", INT, "Steps faster than a person can be.", required=False),
        Column(
            "has_flat_heart_rate", BOOLEAN, "The heart rate stands still for 10 min and more: it hangs.", required=False
        ),
        Column("is_cut_off", BOOLEAN, "The file ended too early.", required=False),
        Column("silver_ingestion_timestamp", TIMESTAMP, "When the row was written to silver.", required=False),
    ),
    keys=("athlete_id", "activity_id"),
    cadence=Cadence.EXTERNAL,
)

STRAVA_BEST_EFFORT = Table(
    "silver",
    "strava_best_effort",
    "The fastest time over each distance, and the farthest in each time, inside an activity. Optional: absent is "
    "unknown.",
    (
        Column("athlete_id", STRING, "The athlete."),
        Column("activity_id", BIGINT, "The activity that holds the effort."),
        Column(
            "kind",
            STRING,
            "400m, 800m, 1k, mile, 3k, 5k, 10k, 15k, half, marathon; 5min, 10min, 20min, 30min, 60min; 20min_power: "
            "the strongest 20 min, whose distance is null.",
        ),
        Column("distance", DOUBLE, "Distance covered.", "m"),
        Column("elapsed_time", DOUBLE, "Time taken; the clock runs through pauses.", "s"),
        Column("start_offset_s", DOUBLE, "From the activity's first sample.", "s", required=False),
        Column(
            "average_heartrate", DOUBLE, "Mean heart rate; null where little of it is known.", "bpm", required=False
        ),
        Column("average_power_w", DOUBLE, "Mean power of a 20min_power.", "W", required=False),
        Column("silver_ingestion_timestamp", TIMESTAMP, "When the row was written to silver.", required=False),
    ),
    keys=("athlete_id", "activity_id", "kind"),
    cadence=Cadence.EXTERNAL,
)

ATHLETE_PLAN = Table(
    "silver",
    "athlete_plan",
    "What an athlete plans to do (`athlete-assets import plan.csv`), a row a day; a day without one is a rest day as "
    "far as the plan reaches. Optional.",
    (
        Column("athlete_id", STRING, "The athlete."),
        Column("plan_date", TIMESTAMP, "The calendar day."),
        Column("load_tss", DOUBLE, "Planned load.", "TSS", required=False),
        Column("moving_time_min", DOUBLE, "Planned time, where no load is stated.", "min", required=False),
        Column("is_race", BOOLEAN, "A race that the form is to be right for.", required=False),
        Column("silver_ingestion_timestamp", TIMESTAMP, "When the row was written to silver.", required=False),
    ),
    keys=("athlete_id", "plan_date"),
    cadence=Cadence.EXTERNAL,
)

OF_ACTIVITIES = (STRAVA_SUB_ACTIVITY, STRAVA_RECORDING, STRAVA_BEST_EFFORT)
"""The silver tables whose rows belong to an activity (activity_id), and change with its day."""
OPTIONAL = (STRAVA_RECORDING, STRAVA_BEST_EFFORT)
"""Silver tables of recordings, that need not exist."""
OF_ATHLETES = (STRAVA_ATHLETE, ATHLETE_PLAN)
"""The silver tables of what athletes say, which may stay as they are for ever."""
OF_FEATURES = (STRAVA_ACTIVITIES, *OF_ACTIVITIES, STRAVA_ATHLETE)
"""The silver tables that features rest on; a plan is of days to come."""

REJECTS = Table(
    "silver_rejects",
    "strava_activities",
    "The silver activities that no feature uses, each with the names of the rules that it broke.",
    (
        *_SILVER_ACTIVITY_COLUMNS,
        Column("activity_date", TIMESTAMP, "Calendar day of the activity; null outside the calendar."),
        Column(
            "reject_reasons",
            STRINGS,
            "Names of the broken rules, in the order of silver.quality.RULES.",
            nullable=False,
        ),
        _month("activity_date, or 'none' outside the calendar"),
    ),
    keys=(),
    day_column="activity_date",
    cadence=Cadence.DAILY,
)

# ------------------------------------------------------------------------------------------------------- features

ACTIVITY = Table(
    "feature_store",
    "activity_features",
    "One row an accepted activity: pace, training load, heart-rate zones and the thresholds they rest on.",
    (
        _ATHLETE,
        _key("activity_id", BIGINT, "The activity."),
        _key("event_timestamp", TIMESTAMP, "Start of the activity in UTC."),
        Column("sport_type", STRING, "Sport in Strava's spelling (Run, TrailRun, VirtualRun, Walk, Ride, ...)."),
        Column("is_race", BOOLEAN, "The athlete marked the run as a race (workout_type 1).", nullable=False),
        Column(
            "is_continuous",
            BOOLEAN,
            "Whether a run's elapsed time is at most 5 % over its moving time, or it is a race: only then it is an "
            "effort. Null for other sports, and where elapsed time is unknown or equal to moving time.",
        ),
        Column("distance_km", DOUBLE, "Distance.", "km", low=0),
        Column(
            "moving_time_min",
            DOUBLE,
            "Moving time; elapsed time where moving time is unknown.",
            "min",
            nullable=False,
            low=0,
            high=2880,
        ),
        Column("elapsed_time_min", DOUBLE, "Elapsed time.", "min"),
        Column(
            "pace_min_km",
            DOUBLE,
            "Moving time per distance of a run or walk; null for other sports, and of a run where no person "
            "runs so or heart rate contradicts it.",
            "min/km",
            low=0,
        ),
        Column(
            "grade_adjusted_pace_min_km",
            DOUBLE,
            "Flat pace of equal effort, by the heights of the recording, else of the splits, else as the source says.",
            "min/km",
        ),
        Column("elevation_gain_m", DOUBLE, "Climbing.", "m"),
        Column("elevation_per_km", DOUBLE, "Climbing per distance.", "m/km"),
        Column(
            "threshold_pace_min_km",
            DOUBLE,
            "Threshold pace as known on the evening before.",
            "min/km",
            nullable=False,
            low=0,
        ),
        Column("threshold_source", STRING, "athlete, critical_speed, best_effort or default.", nullable=False),
        Column("intensity_factor", DOUBLE, "Threshold pace over (graded) pace of a run; higher is harder.", low=0),
        Column(
            "estimated_tss", DOUBLE, "Training stress; 100 is one hour at threshold. Null where unknown.", "TSS", low=0
        ),
        Column(
            "load_method",
            STRING,
            "own, power, pace, heart_rate, rpe or none: what estimated_tss rests on.",
            nullable=False,
        ),
        Column("weighted_power_w", DOUBLE, "Power of equal strain, held evenly, of a ride.", "W", low=0),
        Column("ftp_w", DOUBLE, "Of a ride, the power of an hour as known on the evening before.", "W", low=0),
        Column("ftp_source", STRING, "athlete or best_20min (95 % of it); null where ftp_w is."),
        Column("avg_hr", DOUBLE, "Mean heart rate.", "bpm", low=30, high=230),
        Column("max_hr", DOUBLE, "Highest heart rate.", "bpm", low=30, high=230),
        Column(
            "hr_max_bpm",
            DOUBLE,
            "The athlete's maximum heart rate as known on the evening before.",
            "bpm",
            low=30,
            high=230,
        ),
        Column("hr_max_source", STRING, "athlete, observed or age; null where hr_max_bpm is."),
        *(
            Column(f"hr_zone_{zone}_pct", DOUBLE, f"Share of heart-rate-covered moving time in zone {zone} of 5.", "1")
            for zone in range(1, 6)
        ),
        Column("hr_zone_method", STRING, "recording, splits or average: what the zones rest on; null where they are."),
        Column(
            "hr_zone_basis",
            STRING,
            "max_hr, hr_reserve, threshold_hr or bounds: where the zones begin; null where they are.",
        ),
        Column("efficiency_index", DOUBLE, "Metres covered per heartbeat of a run or walk.", "m/beat", low=0),
        Column("source", STRING, "Where the silver row came from."),
        _key("activity_date", TIMESTAMP, "Calendar day of the activity."),
        _month("activity_date"),
    ),
    keys=("athlete_id", "activity_id"),
    day_column="activity_date",
    feature_table=True,
    cadence=Cadence.DAILY,
)

MONTHLY = Table(
    "feature_store",
    "athlete_monthly_features",
    "One row an athlete and month with an activity: which days were active, and the month's bests. What is asked of a "
    "whole history, its first day, streaks and bests, is told by its months.",
    (
        _ATHLETE,
        _key("month_start", TIMESTAMP, "The month's first day."),
        Column("activities", BIGINT, "Activities of the month.", nullable=False, low=1),
        Column(
            "active_days",
            BIGINT,
            "Days with an activity as bits: 1 stands for the month's first day, 2 for the second, 4 for the third.",
            nullable=False,
            low=1,
            high=2**31 - 1,
        ),
        *(
            column
            for name in BEST_DISTANCES_M
            for column in (
                Column(f"best_{name}_s", DOUBLE, f"Fastest {name} of the month, as the summary's; null without.", "s"),
                Column(f"best_{name}_day", BIGINT, "Its day of the month.", low=1, high=31),
            )
        ),
        _month("month_start"),
    ),
    keys=("athlete_id", "month_start"),
    day_column="month_start",
    cadence=Cadence.DAILY,
)
"""No feature table of the store's: a row holds days after its key, so nothing may be looked up in it by a moment."""

DAILY = Table(
    "feature_store",
    "athlete_daily_features",
    "A dense calendar: every day from the athlete's first activity on, rest days included.",
    (
        _ATHLETE,
        _key("activity_date", TIMESTAMP, "The calendar day."),
        Column("activities", BIGINT, "Activities of the day.", nullable=False, low=0),
        Column("distance_km", DOUBLE, "Distance of all activities.", "km", nullable=False, low=0),
        Column("moving_time_min", DOUBLE, "Moving time of all activities.", "min", nullable=False, low=0),
        Column("elevation_gain_m", DOUBLE, "Climbing of all activities.", "m", nullable=False),
        Column("daily_tss", DOUBLE, "Training stress of the day; 0 on rest days.", "TSS", nullable=False, low=0),
        Column("untracked_activities", BIGINT, "Activities whose load is unknown.", nullable=False, low=0),
        Column("avg_pace_min_km", DOUBLE, "Time-weighted pace of the day's runs; null without one.", "min/km"),
        Column("best_pace_min_km", DOUBLE, "Fastest pace among the day's runs of at least 1 km.", "min/km"),
        Column("longest_run_km", DOUBLE, "Longest run of the day; null without one.", "km"),
        Column("runs", BIGINT, "Runs with a pace (RUN_SPORTS).", nullable=False),
        Column("run_distance_km", DOUBLE, "Their distance.", "km", nullable=False),
        Column("run_moving_time_min", DOUBLE, "Their moving time.", "min", nullable=False),
        Column("is_rest_day", BOOLEAN, "No activity on this day.", nullable=False),
        _month("activity_date"),
    ),
    keys=("athlete_id", "activity_date"),
    day_column="activity_date",
    feature_table=True,
    cadence=Cadence.DAILY,
)

WEEKLY = Table(
    "feature_store",
    "athlete_weekly_features",
    "One row an athlete and week (Monday to Sunday), from the week of the first activity on.",
    (
        _ATHLETE,
        _key("week_start", TIMESTAMP, "The week's Monday."),
        Column("weekly_distance_km", DOUBLE, "Distance of all activities.", "km", nullable=False, low=0),
        Column("weekly_activities", BIGINT, "Activities of the week.", nullable=False),
        Column("weekly_tss", DOUBLE, "Training stress.", "TSS", nullable=False, low=0),
        Column("weekly_elevation_m", DOUBLE, "Climbing.", "m", nullable=False),
        Column("weekly_moving_time_min", DOUBLE, "Moving time.", "min", nullable=False),
        Column("avg_pace_week", DOUBLE, "Time-weighted pace of the week's runs; null without one.", "min/km"),
        Column("longest_run_km", DOUBLE, "Longest run; null without one.", "km"),
        Column("active_days", BIGINT, "Days with an activity.", nullable=False, low=0, high=7),
        Column(
            "training_monotony",
            DOUBLE,
            "Mean over population deviation of the 7 daily loads, at most 10 (Foster).",
            low=0,
            high=10,
        ),
        Column("training_strain", DOUBLE, "Weekly load times monotony (Foster).", "TSS"),
        Column(
            "distance_change_pct",
            DOUBLE,
            "Change of distance against the week before; null where that is 0.",
            "%",
            low=-100,
        ),
        _month("week_start"),
    ),
    keys=("athlete_id", "week_start"),
    day_column="week_start",
    feature_table=True,
    cadence=Cadence.WEEKLY,
)

ROLLING = Table(
    "feature_store",
    "athlete_rolling_features",
    "The athlete's state at the end of each calendar day.",
    (
        _ATHLETE,
        _key("as_of_date", TIMESTAMP, "The day at whose end the state is taken."),
        Column(
            "ctl_42d",
            DOUBLE,
            "Fitness: exponentially weighted load, time constant 42 days.",
            "TSS/day",
            nullable=False,
            low=0,
        ),
        Column(
            "atl_7d",
            DOUBLE,
            "Fatigue: exponentially weighted load, time constant 7 days.",
            "TSS/day",
            nullable=False,
            low=0,
        ),
        Column("tsb", DOUBLE, "Form: ctl_42d less atl_7d.", "TSS/day", nullable=False),
        Column("ramp_rate_7d", DOUBLE, "ctl_42d less that of 7 days before (0 before the first activity).", "TSS/day"),
        Column("warmup", BOOLEAN, "Among the first 42 days, where ctl_42d is still filling.", nullable=False),
        Column(
            "acwr", DOUBLE, "atl_7d over ctl_42d; null before 28 days of history or when ctl_42d < 0.01.", low=0, high=7
        ),
        Column("acute_load_7d", DOUBLE, "EWMA of load, span 7 (Williams 2017).", "TSS/day", nullable=False),
        Column("chronic_load_28d", DOUBLE, "EWMA of load, span 28 (Williams 2017).", "TSS/day", nullable=False),
        Column("acwr_7d_28d", DOUBLE, "acute_load_7d over chronic_load_28d; null as acwr is.", low=0, high=8),
        Column(
            "pace_trend_30d",
            DOUBLE,
            "Slope of run pace over 30 days; negative is faster; null under 5 runs.",
            "min/km per 30 d",
        ),
        Column("distance_trend_30d", DOUBLE, "Slope of daily distance over 30 days.", "km/day per 30 d"),
        Column(
            "consistency_score",
            DOUBLE,
            "Active over expected days of the last 30 observed, at most 1.",
            "1",
            low=0,
            high=1,
        ),
        Column("activities_30d", BIGINT, "Activities of the last 30 days.", nullable=False),
        Column("total_distance_30d_km", DOUBLE, "Distance of the last 30 days.", "km", nullable=False),
        Column("avg_pace_30d", DOUBLE, "Time-weighted pace of the runs of the last 30 days.", "min/km"),
        Column("best_pace_30d", DOUBLE, "Fastest pace among runs of at least 1 km of the last 30 days.", "min/km"),
        Column("longest_run_30d_km", DOUBLE, "Longest run of the last 30 days.", "km"),
        Column("long_run_spike", DOUBLE, "Longest run of the last 7 days over that of the 30 days before them."),
        Column(
            "training_monotony_7d",
            DOUBLE,
            "Mean over population deviation of 7 daily loads, at most 10 (Foster).",
            low=0,
            high=10,
        ),
        Column("training_strain_7d", DOUBLE, "7-day load times monotony (Foster).", "TSS"),
        Column(
            "rest_days_14d", BIGINT, "Days without activity among the last 14 observed.", nullable=False, low=0, high=14
        ),
        Column(
            "best_effort_distance_m",
            DOUBLE,
            "Distance of the plausible run (from 3 km) of the last 180 days with the best Riegel equivalent.",
            "m",
        ),
        Column("best_effort_time_s", DOUBLE, "Its moving time.", "s"),
        Column("best_effort_age_days", BIGINT, "Days since that run.", "d"),
        Column("is_overtraining_risk", BOOLEAN, "The rule: acwr or monotony above its limit; null when acwr is."),
        Column("risk_reasons", STRINGS, "Which of acwr, training_monotony_7d is above its limit; null when acwr is."),
        Column(
            "untracked_share_42d",
            DOUBLE,
            "Share of the activities of the last 42 days whose load is unknown and counts as 0 here; null without one.",
            "1",
            low=0,
            high=1,
        ),
        _month("as_of_date"),
    ),
    keys=("athlete_id", "as_of_date"),
    day_column="as_of_date",
    feature_table=True,
    cadence=Cadence.STATE,
)

# ------------------------------------------------------------------------------------------------ features of models

EFFORT_DISTANCES_M: dict[str, float] = {
    "5k": 5000.0,
    "8k": 8000.0,
    "10k": 10000.0,
    "12k": 12000.0,
    "15k": 15000.0,
    "half": 21097.5,
    "30k": 30000.0,
    "marathon": 42195.0,
}
"""The distances at which efforts are collected: those between the race distances teach how speed falls with length."""

VOLUME_DAYS = (7, 28, 365)


TIME_COLUMNS = {name: (f"predicted_{name}_s", f"p10_{name}_s", f"p90_{name}_s") for name in DISTANCES_M}
"""By race distance, the columns of its predicted time: p50, and the fast and slow end of the 80 % interval."""
INTERVAL_FACTORS = {name: f"interval_factor_{name}" for name in DISTANCES_M}
"""By race distance, the column with the factor by which the home's own outcomes made its interval wider."""


def _equivalent(name: str, comment: str) -> Column:
    return Column(name, DOUBLE, f"{comment}, as a 10 km time by Riegel's exponent 1.06.", "s", low=0)


def _history_at(name: str) -> tuple[Column, ...]:
    """What the athlete ran at one distance (2 % shorter to 6 % longer, scaled to it)."""
    return (
        Column(f"best_{name}_60d_s", DOUBLE, f"Fastest {name} run of the last 60 days.", "s", low=0),
        Column(f"best_{name}_before_s", DOUBLE, f"Fastest {name} run of the 60 days before those.", "s", low=0),
        Column(f"best_{name}_365d_s", DOUBLE, f"Fastest {name} run of the last 365 days.", "s", low=0),
        Column(f"median_{name}_365d_s", DOUBLE, f"Median over days of the {name} runs of the last 365.", "s", low=0),
        Column(f"latest_{name}_s", DOUBLE, f"The newest {name} run of the last 365 days.", "s", low=0),
        Column(f"latest_{name}_age_days", DOUBLE, "Days since that run.", "d", low=0),
        Column(f"days_with_{name}_60d", DOUBLE, f"Days with a {name} run among the last 60.", "d", low=0),
        Column(f"days_with_{name}_365d", DOUBLE, f"Days with a {name} run among the last 365.", "d", low=0),
    )


PERFORMANCE = Table(
    "feature_store",
    "athlete_performance_features",
    "What an athlete's runs up to the end of each calendar day say about race times. Runs above a world record's VDOT "
    "(a vehicle, a bad GPS track) are left out. Where recordings are known, the best of a part of a run counts "
    "among the bests (best_*, recent_effort_*) as a run does.",
    (
        _ATHLETE,
        _key("as_of_date", TIMESTAMP, "The day at whose end the state is taken."),
        Column(
            "recent_effort_distance_m",
            DOUBLE,
            "Distance of the run of at least 3 km with the best Riegel equivalent of the last 60 days; "
            "where there is none of the last 180; else of the last 365.",
            "m",
            low=0,
        ),
        Column("recent_effort_time_s", DOUBLE, "Its moving time.", "s", low=0),
        Column("recent_effort_age_days", DOUBLE, "Days since that run.", "d", low=0),
        *(
            _equivalent(f"best_{days}d_10k_s", f"The best run of at least 3 km of the last {days} days")
            for days in (14, 30, 90, 180, 365)
        ),
        _equivalent("quarter_60d_10k_s", "The run that a quarter of the days with one of the last 60 beat"),
        _equivalent("median_60d_10k_s", "The median over days of the last 60"),
        _equivalent("tenth_180d_10k_s", "The run that a tenth of the days with one of the last 180 beat"),
        _equivalent("median_180d_10k_s", "The median over days of the last 180"),
        Column("run_days_60d", DOUBLE, "Days with a run of at least 3 km among the last 60.", "d", low=0),
        *(column for name in EFFORT_DISTANCES_M for column in _history_at(name)),
        *(
            Column(f"run_distance_{days}d_km", DOUBLE, f"Distance of all runs of the last {days} days.", "km", low=0)
            for days in (7, 28, 90, 365)
        ),
        *(
            Column(f"run_days_{days}d", DOUBLE, f"Days with a run among the last {days}.", "d", low=0)
            for days in (14, 28, 90)
        ),
        Column("longest_run_28d_km", DOUBLE, "Longest run of the last 28 days.", "km", low=0),
        Column("longest_run_90d_km", DOUBLE, "Longest run of the last 90 days.", "km", low=0),
        Column("days_since_run", DOUBLE, "Days since the newest run of the last 365 days.", "d", low=0),
        Column("run_history_days", DOUBLE, "Days since the oldest run of the last 365 days.", "d", low=0),
        Column(
            "hard_hr_bpm",
            DOUBLE,
            "Mean heart rate of the hardest runs: p95 over days of the last 180; null under 8 days with heart rate.",
            "bpm",
        ),
        Column("usual_hr_share", DOUBLE, "Mean heart rate of the runs of the last 120 days over hard_hr_bpm.", "1"),
        Column(
            "hr_slope",
            DOUBLE,
            "Gain of log speed for 30 bpm more, over the runs of the last 120 days; null under 6 runs with heart rate.",
            "1",
        ),
        _equivalent("hr_predicted_10k_s", "Speed at hard_hr_bpm on the line of speed over heart rate (120 days)"),
        _equivalent("usual_120d_10k_s", "Mean of the runs with heart rate of the last 120 days"),
        _equivalent("usual_30d_10k_s", "Mean of the last 30 days, moved along that line to the mean heart rate"),
        _equivalent("hard_best_180d_10k_s", "The best of the runs of the last 180 days close to hard_hr_bpm"),
        _equivalent("hard_median_180d_10k_s", "The median over days of the runs close to hard_hr_bpm"),
        Column("hard_days_180d", DOUBLE, "Days with such a run among the last 180.", "d", low=0),
        _month("as_of_date"),
    ),
    keys=("athlete_id", "as_of_date"),
    day_column="as_of_date",
    feature_table=True,
    cadence=Cadence.STATE,
)

RACE_EFFORTS = Table(
    "feature_store",
    "race_efforts",
    "Runs that were efforts over a distance: races, runs at a high heart rate, and the fastest of several tries. What "
    "the time estimator learns from and is judged by.",
    (
        _ATHLETE,
        _key("activity_id", BIGINT, "The activity."),
        _key("activity_date", TIMESTAMP, "Calendar day of the effort."),
        Column(
            "lookup_timestamp",
            TIMESTAMP,
            "Midnight of the day before: features are looked up as known then.",
            nullable=False,
        ),
        Column("distance", STRING, "The distance by name (EFFORT_DISTANCES_M).", nullable=False),
        Column("target_m", DOUBLE, "That distance.", "m", nullable=False),
        Column("run_distance_m", DOUBLE, "The distance recorded.", "m", nullable=False),
        Column("time_s", DOUBLE, "Time scaled to the distance by Riegel's exponent.", "s", nullable=False, low=0),
        Column(
            "effort",
            STRING,
            "Why it counts: race (marked by the athlete), heart_rate (top decile at the distance), block_best (best of "
            "at least 3 tries in 60 days: chosen by its result).",
            nullable=False,
        ),
        Column("tier", INT, "1 race, 2 heart_rate, 3 block_best: the most certain reason.", nullable=False),
        Column("weight", DOUBLE, "Weight in training.", "1", nullable=False, low=0, high=1),
        Column("avg_hr", DOUBLE, "Mean heart rate.", "bpm"),
        Column(
            "left_out",
            STRING,
            "Why it is not learned from, though it judges: slower_than_usual, too_fast, long_pause; else null.",
        ),
        _month("activity_date"),
    ),
    keys=("athlete_id", "activity_id"),
    day_column="activity_date",
    feature_table=True,
    cadence=Cadence.TRAINING,
)

DISRUPTIONS = Table(
    "feature_store",
    "training_disruptions",
    "Sunday evenings of athletes in training, and whether a week without any activity began within the next 14 days: "
    "what the overtraining detector learns from. A stop for whatever reason, not an injury.",
    (
        _ATHLETE,
        _key("as_of_date", TIMESTAMP, "The Sunday; features are looked up as known at its end."),
        Column("disrupted", BOOLEAN, "At least 7 days without activity begin within 14 days.", nullable=False),
        _month("as_of_date"),
    ),
    keys=("athlete_id", "as_of_date"),
    day_column="as_of_date",
    feature_table=True,
    cadence=Cadence.TRAINING,
)

# ----------------------------------------------------------------------------------------------------------- gold


def _prediction_columns() -> tuple[Column, ...]:
    return tuple(
        column
        for name, (predicted, fast, slow) in TIME_COLUMNS.items()
        for column in (
            Column(predicted, DOUBLE, f"Predicted {name} time (p50).", "s"),
            Column(fast, DOUBLE, f"Fast end of the 80 % interval of the {name} time.", "s"),
            Column(slow, DOUBLE, f"Slow end of the 80 % interval of the {name} time.", "s"),
        )
    )


PREDICTIONS = Table(
    "gold",
    "athlete_predictions",
    "What was predicted for each athlete at the end of each day. Each day's rows stand as they were served.",
    (
        _ATHLETE,
        _key("prediction_date", TIMESTAMP, "The day at whose end the prediction was made."),
        *_prediction_columns(),
        Column("served_by", STRING, "model, population or baseline; null where there is nothing to predict from."),
        Column("model_version", STRING, "Version of the registered time_estimator that served."),
        Column(
            "p_disruption_14d",
            DOUBLE,
            "Probability of a training disruption within 14 days; null when abstaining.",
            "1",
        ),
        Column("p_disruption_reason", STRING, "Why p_disruption_14d is null."),
        Column("is_overtraining_risk", BOOLEAN, "The rule of athlete_rolling_features."),
        Column("risk_reasons", STRINGS, "Its reasons."),
        Column("untracked_share_42d", DOUBLE, "Share of the last 42 days' activities whose load is unknown.", "1"),
        Column(
            "top_reasons",
            STRINGS,
            "What moved the prediction most, in words; null for an evening that was not of the home's last two days "
            "when it was predicted (`athlete-assets predictions --day` says it then).",
        ),
        Column("features_as_of", TIMESTAMP, "The day of the features used.", nullable=False),
        Column(
            "is_backfilled",
            BOOLEAN,
            "Made on a later day than its own: from the features of that evening, but by the model that served when it "
            "was made, which may have learned from what was run since. Null in rows from before the column.",
        ),
        _month("prediction_date"),
        *(
            Column(
                factor,
                DOUBLE,
                f"How much wider (logarithms of time) the {name} interval is made by the home's last outcomes: 1 where "
                "there are none, above 1 where they fell outside too often.",
                "1",
                low=0,
            )
            for name, factor in INTERVAL_FACTORS.items()
        ),
        Column(
            "unlikeness",
            DOUBLE,
            "Share of the model's inputs outside the range of four fifths of its training's, 0.2 on average; above "
            "0.25 the intervals are wider by the excess. Null where what serves was not trained.",
            "1",
            low=0,
            high=1,
        ),
    ),
    keys=("athlete_id", "prediction_date"),
    day_column="prediction_date",
    cadence=Cadence.SCORED,
)

METRICS_SUMMARY = Table(
    "gold",
    "athlete_metrics_summary",
    "One row an athlete: where he or she stands on the newest day.",
    (
        _ATHLETE,
        Column("as_of_date", TIMESTAMP, "The newest day of the athlete's rolling features.", nullable=False),
        Column("activities_42d", BIGINT, "Activities of the last 42 days."),
        Column("untracked_42d", BIGINT, "Those of them whose load is unknown."),
        Column("fitness_ctl", DOUBLE, "ctl_42d; null, as the next three, where untracked_42d is all.", "TSS/day"),
        Column("fatigue_atl", DOUBLE, "atl_7d.", "TSS/day"),
        Column("form_tsb", DOUBLE, "tsb.", "TSS/day"),
        Column("ramp_rate_7d", DOUBLE, "Change of fitness in 7 days.", "TSS/day"),
        Column("fitness_ctl_365d_ago", DOUBLE, "fitness_ctl of 365 days before; null before the first.", "TSS/day"),
        Column("untracked_share_42d", DOUBLE, "Share untracked_42d of activities_42d.", "1", low=0, high=1),
        *(
            column
            for days in VOLUME_DAYS
            for column in (
                Column(f"distance_{days}d_km", DOUBLE, f"Distance of the last {days} days.", "km"),
                Column(f"run_distance_{days}d_km", DOUBLE, "Of it, run.", "km"),
                Column(f"moving_time_{days}d_min", DOUBLE, f"Moving time of the last {days} days.", "min"),
                Column(f"load_{days}d_tss", DOUBLE, f"Known load of the last {days} days.", "TSS"),
                Column(f"activities_{days}d", BIGINT, f"Activities of the last {days} days."),
            )
        ),
        Column("consistency_score", DOUBLE, "Active over expected days of the last 30, at most 1.", "1", low=0, high=1),
        Column(
            "streak_days",
            BIGINT,
            "Days in a row with an activity, up to as_of_date; one without yet on that day does not end it.",
            "d",
            low=0,
        ),
        Column("streak_weeks", BIGINT, "Weeks (Monday to Sunday) in a row with an activity, as streak_days.", low=0),
        *(
            column
            for name in BEST_DISTANCES_M
            for column in (
                Column(
                    f"best_{name}_s",
                    DOUBLE,
                    f"Fastest {name}: of a part of a run where its recording is known, else of a whole continuous run "
                    "within 2 % of the distance, scaled to it.",
                    "s",
                ),
                Column(f"best_{name}_date", TIMESTAMP, f"Day of the fastest {name}."),
            )
        ),
        Column("recent_effort_distance_m", DOUBLE, "What predictions start from: athlete_performance_features'.", "m"),
        Column("recent_effort_time_s", DOUBLE, "Its time.", "s"),
        Column("recent_effort_date", TIMESTAMP, "Its day."),
        Column("vdot", DOUBLE, "VDOT of that effort (Daniels & Gilbert 1979).", "ml/kg/min", low=0),
        Column(
            "age_grade",
            DOUBLE,
            "The highest age grade among the bests from 5 km up, each at the age of its day (year less birth_year); "
            "road standards of 2020. Null where sex or birth_year is not stated.",
            "1",
            low=0,
        ),
        Column("age_grade_distance", STRING, "The distance of that best: 5k, 10k, half or marathon."),
        Column("threshold_pace_min_km", DOUBLE, "Threshold pace at the newest activity.", "min/km"),
        Column("threshold_source", STRING, "What it rests on."),
        Column("hr_max_bpm", DOUBLE, "Maximum heart rate at the newest activity.", "bpm"),
        Column("hr_max_source", STRING, "What it rests on."),
        Column("last_activity_date", TIMESTAMP, "Day of the newest activity.", nullable=False),
        Column("days_since_activity", BIGINT, "Days from the newest activity to as_of_date.", "d"),
    ),
    keys=("athlete_id",),
    cadence=Cadence.SUMMARY,
)

SCENARIOS = ("rest", "habit", "plan")

PROJECTION = Table(
    "gold",
    "athlete_projection",
    "Fitness, fatigue and form of the 14 days after the newest, at rest, at the present habit and by the athlete's "
    "plan: what athlete_rolling_features will say if those loads come true.",
    (
        _ATHLETE,
        Column("scenario", STRING, "rest, habit (the last 28 days, weekday by weekday) or plan.", nullable=False),
        Column("projected_date", TIMESTAMP, "The day at whose end the state is taken.", nullable=False),
        Column(
            "as_of_date", TIMESTAMP, "The newest day of the features, from whose end it is counted.", nullable=False
        ),
        Column("days_ahead", BIGINT, "Days from as_of_date.", "d", nullable=False, low=1, high=14),
        Column("load_tss", DOUBLE, "Load of that day in the scenario.", "TSS", nullable=False, low=0),
        Column("fitness_ctl", DOUBLE, "ctl_42d then.", "TSS/day", nullable=False, low=0),
        Column("fatigue_atl", DOUBLE, "atl_7d then.", "TSS/day", nullable=False, low=0),
        Column("form_tsb", DOUBLE, "tsb then.", "TSS/day", nullable=False),
        Column("ramp_rate_7d", DOUBLE, "ramp_rate_7d then.", "TSS/day", nullable=False),
        Column("acwr", DOUBLE, "acwr then; null as in athlete_rolling_features.", low=0, high=7),
    ),
    keys=("athlete_id", "scenario", "projected_date"),
    cadence=Cadence.SUMMARY,
)

LOAD_ROOM = Table(
    "gold",
    "athlete_load_room",
    "One row an athlete: how much load today still leaves ramp and ACWR within their limits and is not far beyond the "
    "athlete's hardest day, and which load until the next planned race leads to the form wanted on its day.",
    (
        _ATHLETE,
        Column("as_of_date", TIMESTAMP, "Today: the newest day of the features.", nullable=False),
        Column("load_today_tss", DOUBLE, "Load of today so far.", "TSS", nullable=False, low=0),
        Column("room_by_ramp_tss", DOUBLE, "Further load until ramp_rate_7d is ATHLETE_MAX_RAMP_7D.", "TSS", low=0),
        Column("room_by_acwr_tss", DOUBLE, "Further load until acwr is ATHLETE_ACWR_RISK.", "TSS", low=0),
        Column(
            "room_by_hardest_day_tss",
            DOUBLE,
            "Further load until today is a tenth more than the hardest of 42 days before; null after 42 days of rest.",
            "TSS",
            low=0,
        ),
        Column("room_today_tss", DOUBLE, "The least of the three.", "TSS", low=0),
        Column("room_limited_by", STRING, "ramp, acwr or hardest_day: which is the least."),
        Column(
            "room_unknown_reason",
            STRING,
            "Why the room is null: warmup (under 42 days of history), no_training (no fitness left to compare with) or "
            "unknown_load (no load of 42 days is known).",
        ),
        Column("load_per_min_tss", DOUBLE, "Usual load of a minute: days of the last 42 with known load.", "TSS/min"),
        Column("room_today_min", DOUBLE, "room_today_tss as minutes of usual load.", "min", low=0),
        Column("habit_load_tss", DOUBLE, "Mean daily load of the last 28 days.", "TSS/day", low=0),
        Column("race_date", TIMESTAMP, "The next race of the plan after today."),
        Column("race_form_target_tsb", DOUBLE, "Form wanted at its start: ATHLETE_RACE_FORM_TSB.", "TSS/day"),
        Column("race_form_at_rest_tsb", DOUBLE, "Form at its start after rest from tomorrow on.", "TSS/day"),
        Column(
            "taper_load_tss",
            DOUBLE,
            "Load of each day from tomorrow to the race's eve that leads to race_form_target_tsb; null where there is "
            "no day between, and where rest alone gives less.",
            "TSS/day",
            low=0,
        ),
    ),
    keys=("athlete_id",),
    cadence=Cadence.SUMMARY,
)

ATHLETE_PAGES = Table(
    "gold",
    "athlete_pages",
    "One row an athlete: the HTML page that shows the other tables, which lies in ATHLETE_REPORTS. A page is written "
    "again where its content_hash changed.",
    (
        _ATHLETE,
        Column("page", STRING, "Its file, below the folder of the pages.", nullable=False),
        Column("content_hash", STRING, "SHA-256 of what the page shows, and of how.", nullable=False),
        Column("bytes", BIGINT, "Its size.", "B", nullable=False, low=0),
        Column("as_of_date", TIMESTAMP, "The newest day that it shows.", nullable=False),
    ),
    keys=("athlete_id",),
    cadence=Cadence.SUMMARY,
)

# ----------------------------------------------------------------------------------------------------- monitoring

LOGGED_STATE = ("ctl_42d", "tsb", "pace_trend_30d")
"""The columns of ROLLING that the time estimator takes, beside those of PERFORMANCE."""


def _logged(column: Column) -> Column:
    """A column as the log holds it: as it was, whatever it was; null in rows from before the column."""
    return replace(column, nullable=True, low=None, high=None)


_LOGGED_INPUTS = (
    *(_logged(column) for column in PERFORMANCE.columns if column.name not in (*PERFORMANCE.keys, "month")),
    *(_logged(ROLLING.column(name)) for name in LOGGED_STATE),
)
LOGGED_INPUTS = tuple(column.name for column in _LOGGED_INPUTS)
"""The time estimator's inputs, each a column of INFERENCE_LOG."""
_LOGGED_OUTPUTS = tuple(
    _logged(column)
    for column in PREDICTIONS.columns
    if column.name not in (*PREDICTIONS.keys, "model_version", "month")
)
LOGGED_OUTPUTS = tuple(column.name for column in _LOGGED_OUTPUTS)
"""What a row of PREDICTIONS says, each a column of INFERENCE_LOG."""

INFERENCE_LOG = Table(
    "monitoring",
    "inference_log",
    "Every prediction that was ever made, with the features it was made from. Only added to.",
    (
        _ATHLETE,
        _key("prediction_date", TIMESTAMP, "The day at whose end the prediction was made."),
        _key("served_at", TIMESTAMP, "When it was made, UTC."),
        _key("dagster_run_id", STRING, "The run that made it."),
        Column("model_version", STRING, "Version of the registered time_estimator."),
        Column(
            "features",
            STRING,
            "Those of the model's inputs that have no column here, as a JSON object: {} where all have one, and all of "
            "them in rows from before the columns.",
            nullable=False,
        ),
        Column(
            "outputs",
            STRING,
            "{}; in rows from before the columns the row of gold.athlete_predictions as a JSON object.",
            nullable=False,
        ),
        _month("prediction_date"),
        Column("served_on", TIMESTAMP, "The home's today when it was made; null in rows from before the column."),
        *_LOGGED_INPUTS,
        *_LOGGED_OUTPUTS,
    ),
    keys=("athlete_id", "prediction_date", "dagster_run_id"),
    day_column="prediction_date",
    cadence=Cadence.SCORED,
)

PREDICTION_OUTCOMES = Table(
    "monitoring",
    "prediction_outcomes",
    "One row an effort at a race distance, beside what was said of it before: each effort counts once, and keeps its "
    "prediction when the day is scored again.",
    (
        _ATHLETE,
        _key("activity_id", BIGINT, "The effort."),
        _key("activity_date", TIMESTAMP, "Its day."),
        _key("prediction_date", TIMESTAMP, "The day of the prediction: the evening before, or the newest of 28 days."),
        Column("prediction_age_days", BIGINT, "Days from the prediction to the effort.", "d", nullable=False, low=1),
        Column("distance", STRING, "5k, 10k, half or marathon.", nullable=False),
        Column("run_s", DOUBLE, "Time run.", "s", nullable=False, low=0),
        Column("predicted_s", DOUBLE, "Time predicted (p50).", "s", nullable=False, low=0),
        Column("p10_s", DOUBLE, "Fast end of the predicted 80 % interval.", "s"),
        Column("p90_s", DOUBLE, "Slow end of it.", "s"),
        Column("error_pct", DOUBLE, "Predicted less run, over run; positive is predicted too slow.", "%"),
        Column("in_interval", BOOLEAN, "The time run lies in the predicted interval."),
        Column("served_by", STRING, "model, population or baseline.", nullable=False),
        Column("model_version", STRING, "Version of the registered time_estimator."),
        Column("tier", INT, "Of the effort: 1 race, 2 hard by heart rate, 3 best of a block of 60 days."),
        Column(
            "interval_factor",
            DOUBLE,
            "How much wider the interval was made by earlier outcomes (logarithms of time); null: it was not.",
            "1",
            low=0,
        ),
        Column(
            "known_on",
            TIMESTAMP,
            "The home's today when the outcome was first recorded: intervals of later days are calibrated on it.",
        ),
        Column(
            "is_backfilled",
            BOOLEAN,
            "The prediction was made after the effort's day, by a model that may have learned from it: shown, and "
            "neither judged nor calibrated on.",
        ),
    ),
    keys=("athlete_id", "activity_id"),
    cadence=Cadence.SCORED,
)

# ----------------------------------------------------------------------------------------------------- groups

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Table))
"""Every table above, in the order in which it is written here."""


def by_cadence(*cadences: Cadence) -> tuple[Table, ...]:
    """The tables that are written then."""
    return tuple(table for table in ALL if table.cadence in cadences)


def _athlete_race() -> Table:
    return Table(
        "silver",
        "athlete_race",
        "The races that an athlete told of here, and which activity each is.",
        (
            _ATHLETE,
            _key("race_date", TIMESTAMP, "Its day."),
            _key("distance", DOUBLE, "Its distance."),
            Column("time", DOUBLE, "The time run.", "s"),
            Column("activity_id", BIGINT, "The activity that it is; null where it lies inside a longer one."),
            Column("is_entered", BOOLEAN, "The activity was entered, for no import had it."),
            Column(INGESTED, TIMESTAMP, "When the row was written."),
        ),
        keys=("athlete_id", "race_date", "distance"),
        cadence=Cadence.EXTERNAL,
    )


RACES = _athlete_race()
"""What the local deployment remembers beside silver's contract: no asset, and no upstream has it."""


def _athlete_session() -> Table:
    return Table(
        "silver",
        "athlete_session",
        "The loads and exertions of single sessions that an athlete told of here.",
        (
            _ATHLETE,
            _key("session_id", BIGINT, "The session; the activity's number where it was entered."),
            Column("begins", LOCAL_TIMESTAMP, "When it begins on the athlete's clock; noon where nobody knows."),
            Column("moving_time", DOUBLE, "How long it lasts.", "s"),
            Column("sport_type", STRING, "Its sport, where the athlete said it.", required=False),
            Column("own_load", DOUBLE, "Its load.", "TSS", required=False),
            Column("perceived_exertion", DOUBLE, "How hard it was, 1 to 10.", required=False),
            Column("is_entered", BOOLEAN, "The activity was entered, for no import had it."),
            Column(INGESTED, TIMESTAMP, "When the row was written."),
        ),
        keys=("athlete_id", "session_id"),
        cadence=Cadence.EXTERNAL,
    )


SESSIONS = _athlete_session()
"""As RACES, of the local deployment alone."""


def _imports() -> Table:
    return Table(
        "silver",
        "imports",
        "The imports that a home has had.",
        (
            _key("import_number", BIGINT, "The import, numbered from 1."),
            Column("athlete_id", STRING, "Whose activities it brought; null of a file of several athletes."),
            Column("file_name", STRING, "The file's name."),
            Column("imported_at", TIMESTAMP, "When."),
            Column("activities", BIGINT, "Activities (or races) in the file."),
            Column("activities_new", BIGINT, "Of them, new ones."),
            Column("activities_changed", BIGINT, "Of them, changed ones."),
            Column("versions", STRING, "By table, its versions before and after, as JSON."),
            Column("undone_at", TIMESTAMP, "When it was taken back; null where it was not."),
        ),
        keys=("import_number",),
        cadence=Cadence.EXTERNAL,
    )


IMPORTS = _imports()
"""As RACES, of the local deployment alone."""
LOCAL = (RACES, SESSIONS, IMPORTS)
"""Of no catalog but the local one, and so not among ALL: maintained, forgotten and repaired with the rest."""

SILVER = by_cadence(Cadence.EXTERNAL)
FEATURES = tuple(
    table for table in by_cadence(Cadence.DAILY, Cadence.STATE, Cadence.WEEKLY) if table.schema == "feature_store"
)
LABELS = by_cadence(Cadence.TRAINING)
GOLD = tuple(table for table in ALL if table.schema == "gold")
MONITORING = tuple(table for table in ALL if table.schema == "monitoring")

DAILY_TABLES = by_cadence(Cadence.DAILY)
STATE_TABLES = by_cadence(Cadence.STATE)
WEEKLY_TABLES = by_cadence(Cadence.WEEKLY)
SCORED_TABLES = by_cadence(Cadence.SCORED)
SUMMARIES = by_cadence(Cadence.SUMMARY)
BY_DAY = tuple(table for table in (*DAILY_TABLES, *STATE_TABLES, *SCORED_TABLES) if table.day_column)
"""The tables whose assets have a partition a day."""
