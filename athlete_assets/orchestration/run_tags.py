"""The tags of runs that this package reads or writes: Dagster's own, and ours."""

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""First and last partition of a run over a range."""
RANGE_TAGS = (RANGE_START, RANGE_END)
PARTITION = "dagster/partition"
BACKFILL = "dagster/backfill"
WILL_RETRY = "dagster/will_retry"
"""On a failed run that Dagster starts once more."""
CAUSE = "athlete_assets/cause"
"""What asked for the run."""
