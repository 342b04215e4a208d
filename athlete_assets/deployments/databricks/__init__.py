"""Steps on Databricks: how they get there, what comes back, and what a workspace must have."""
