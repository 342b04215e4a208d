"""The one error that people see: a sentence that names what is wrong, where, and what to do."""

from __future__ import annotations


class AthleteAssetsError(Exception):
    """Bad input or a bad setting. The CLI prints the sentence alone and exits with code 2; nothing was written."""


class SettingsError(AthleteAssetsError):
    """A setting that is unknown or holds a value that it cannot take."""


class InputError(AthleteAssetsError):
    """A file that cannot be read as training data. Names file, line and column where they are known."""


class ContractError(AthleteAssetsError):
    """A table that lacks a required column or holds one of another type. Names table and column."""


class StoreError(AthleteAssetsError):
    """A table store that could not commit or could not be reached: the only failure that is worth a retry."""


class LastingStoreError(AthleteAssetsError):
    """A table store that stays as it is until somebody acts (full disk, no right to write): not worth a retry."""


class DamageError(LastingStoreError):
    """A stored table whose files are not what was written. Names the file, the last good version and the remedy."""


class ClusterError(AthleteAssetsError):
    """A Databricks run that ended without the step's own verdict: nothing is known to be wrong with the step."""


class AccessError(AthleteAssetsError):
    """A right that the deployment's principal lacks, or a catalog or schema that it cannot see. Names the object."""
