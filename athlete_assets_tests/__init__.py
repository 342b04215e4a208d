import athlete_assets  # noqa: F401  before NumPy: see there
