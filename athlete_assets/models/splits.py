"""Which labels a model learns from and which judge it: by time behind an embargo, or by athlete; never at random.

All functions take labelled rows with `athlete_id` and a day column (TIMESTAMP), one row a label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from athlete_assets.errors import AthleteAssetsError

if TYPE_CHECKING:
    import pandas as pd

ATHLETE_FOLDS = 8
FORWARD_CUTS = (0.4, 0.55, 0.7, 0.85)
"""Shares of the labels, by date, at which a forward fit ends."""

Part = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which rows to fit on, and which to judge by."""


class TooLittleToLearnFrom(AthleteAssetsError):
    """The labels or features do not carry a model: too few, too few athletes, one outcome, or features all null."""


def newest(rows: pd.DataFrame, day: str, share: float, embargo_days: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What to fit on, and the newest share to judge by; between them lie embargo_days without any row."""
    import pandas as pd

    days = rows[day]
    if rows.empty:
        return rows, rows
    cut = days.sort_values().iloc[int((1 - share) * len(rows))]
    train = rows[days < cut - pd.Timedelta(days=embargo_days)].reset_index(drop=True)
    return train, rows[days >= cut].reset_index(drop=True)


def by_athlete(rows: pd.DataFrame, folds: int = ATHLETE_FOLDS, seed: int = 0) -> list[Part]:
    """Every row is judged once, by what was learned from other athletes."""
    fold = athlete_folds(rows["athlete_id"].to_numpy(), folds, seed)
    return [(fold != number, fold == number) for number in np.unique(fold)]


def forward(rows: pd.DataFrame, day: str, embargo_days: int) -> list[Part]:
    """The rows after each cut are judged by what was learned from embargo_days and more before it."""
    import pandas as pd

    days = rows[day]
    cuts: list[pd.Timestamp] = [days.sort_values().iloc[int(share * len(days))] for share in FORWARD_CUTS]
    ends = [*cuts[1:], days.max() + pd.Timedelta(days=1)]
    embargo = pd.Timedelta(days=embargo_days)
    return [
        ((days < cut - embargo).to_numpy(), ((days >= cut) & (days < end)).to_numpy())
        for cut, end in zip(cuts, ends, strict=True)
    ]


def scored_in_parts(
    rows: pd.DataFrame, parts: Sequence[Part], scored: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    """`scored(train, test)` of each part, one below the other.

    Parts whose training side is too small to learn from are left out; raises TooLittleToLearnFrom where all are.
    """
    import pandas as pd

    done, problem = [], None
    for train, test in parts:
        if not test.any():
            continue
        try:
            done.append(scored(rows[train].reset_index(drop=True), rows[test].reset_index(drop=True)))
        except TooLittleToLearnFrom as error:
            problem = error
    if not done:
        assert problem is not None
        raise problem
    return pd.concat(done, ignore_index=True)


def athlete_folds(athletes: NDArray[Any], folds: int, seed: int = 0) -> NDArray[np.int64]:
    """A fold for each row, all rows of an athlete in the same one; the athletes dealt out in a random order."""
    names, index = np.unique(athletes.astype(str), return_inverse=True)
    of_name = np.arange(len(names)) % min(folds, len(names))
    np.random.default_rng(seed).shuffle(of_name)
    result: NDArray[np.int64] = of_name[index]
    return result
