"""The silver tables as the sensors' tests see them."""

from athlete_assets_tests.silver.conftest import reader, warehouses

__all__ = ["reader", "warehouses"]
