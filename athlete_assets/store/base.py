"""What an asset may ask of the place where tables lie. One meaning in both deployments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from athlete_assets.days import Days
from athlete_assets.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Written:
    """What one commit did: rows now in the window, and the table's version after it."""

    rows: int
    version: int


class Store(ABC):
    """Reads tables as DataFrames and replaces windows of them atomically."""

    @property
    @abstractmethod
    def spark(self) -> SparkSession:
        """The session in which `read` returns its frames."""

    @abstractmethod
    def exists(self, table: Table) -> bool: ...

    @abstractmethod
    def version(self, table: Table) -> int | None:
        """The newest committed version; None where the table does not exist."""

    @abstractmethod
    def read(self, table: Table, days: Days | None = None) -> DataFrame:
        """The table's rows (those of the days, where given) with the contract's columns in order.

        A column that the contract lets upstream lack is null; a table that does not exist yet has no rows.
        Raises ContractError for a missing required column.
        """

    @abstractmethod
    def replace(self, table: Table, rows: DataFrame, days: Days | None = None) -> Written:
        """Replaces exactly the rows of the days (the whole table without them) in one commit.

        Raises ContractError before any write where rows do not fit the contract or lie outside the days, StoreError
        where the commit fails; then the last committed version stands.
        """
