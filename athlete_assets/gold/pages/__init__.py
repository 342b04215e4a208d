"""Static pages over the tables: one for the coach, one for each athlete, one for each model that serves."""
