"""Which model versions were trained with an athlete, and the pictures of their evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from athlete_assets.errors import AthleteAssetsError
from athlete_assets.models import promotion, registry
from athlete_assets.models.specs import MODELS
from athlete_assets.settings import Settings
from athlete_assets.store.local import LocalStore
from athlete_assets.store.sql import delta_literal
from athlete_assets.tables import Table

TAG = "trained_with_forgotten_athletes"


@dataclass(frozen=True)
class TrainedWith:
    """A version whose labels held the athlete; `is_known` is false where that version of the labels is kept no more."""

    model: str
    version: str
    run_id: str
    is_known: bool

    def __str__(self) -> str:
        doubt = "" if self.is_known else " (its labels are kept no more: it may have been)"
        return f"{self.model} version {self.version}{doubt}"


def trained_with(athlete: str, store: LocalStore) -> Iterator[TrainedWith]:
    """The learned versions in the registry whose labels, in the version that they were trained on, held the athlete."""
    settings = store.settings
    client = registry.client(settings)
    for spec in MODELS.values():
        name = registry.model_name(spec.name, settings)
        for found in client.search_model_versions(f"name = '{name}'"):
            if found.tags.get(promotion.KIND) not in (promotion.LEARNED, promotion.POPULATION):
                continue
            stated = client.get_run(str(found.run_id)).data.tags.get(f"delta_version.{spec.labels.name}", "")
            held = _held(athlete, store, spec.labels, int(stated)) if stated.isdigit() else None
            if held is not False:
                yield TrainedWith(spec.name, str(found.version), str(found.run_id), held is True)


def _held(athlete: str, store: LocalStore, labels: Table, version: int) -> bool | None:
    whose = f"athlete_id = {delta_literal(athlete)}"
    try:
        found = store.folder(labels).query(f"SELECT 1 FROM t WHERE {whose} LIMIT 1", version=version)
    except AthleteAssetsError:  # that version is kept no more
        return None
    return bool(found.num_rows)


def mark(version: TrainedWith, settings: Settings) -> int:
    """Says on the version what it is, and removes the pictures of its evaluation: each effort is a point in them.

    How many pictures they were.
    """
    client = registry.client(settings)
    client.set_model_version_tag(registry.model_name(version.model, settings), version.version, TAG, "true")
    # by their place in this home: the registry of a home that was copied tells of the original's files
    pictures = list(settings.home.resolve().rglob(f"{version.run_id}/artifacts/plots/*.png"))
    for picture in pictures:
        picture.unlink()
    return len(pictures)
