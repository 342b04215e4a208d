"""A code location as small as one can be that still has partitions, checks, retries and Spark."""
