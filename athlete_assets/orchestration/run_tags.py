"""The tags of runs that this package reads or writes: Dagster's own, and ours."""

from athlete_assets.partitions import ATHLETES as ATHLETES

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""First and last partition of a run over a range."""
RANGE_TAGS = (RANGE_START, RANGE_END)
PARTITION = "dagster/partition"
BACKFILL = "dagster/backfill"
MAX_RETRIES = "dagster/max_retries"
CODE_SERVER = ".dagster/grpc_info"
"""Address of the code server that started the run's process, as JSON."""
WILL_RETRY = "dagster/will_retry"
"""On a failed run that Dagster starts once more."""
CAUSE = "athlete_assets/cause"
"""What asked for the run."""
WORKER = "athlete_assets/worker"
"""Which process works on the run, as JSON (`orchestration.worker`)."""
