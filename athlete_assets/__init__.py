"""A runner's training log as Dagster assets: features, honest predictions and warnings."""
