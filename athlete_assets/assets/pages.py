"""The pages that people look at, as an asset over the tables that they show."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from athlete_assets import tables
from athlete_assets.assets.builder import (
    asset_key,
    check_specs,
    is_materializing,
    materialize_result,
    page_link,
    store_of,
    table_asset,
    table_spec,
)
from athlete_assets.assets.models import model_key
from athlete_assets.gold.pages import site
from athlete_assets.gold.pages.place import folder_of
from athlete_assets.models.specs import MODELS
from athlete_assets.monitoring import anomalies, charts, checks
from athlete_assets.settings import Settings
from athlete_assets.store.base import Written

SHOWN = (
    tables.METRICS_SUMMARY,
    tables.ACTIVITY,
    tables.REJECTS,
    tables.DAILY,
    tables.WEEKLY,
    tables.ROLLING,
    tables.PREDICTIONS,
    tables.PREDICTION_OUTCOMES,
    tables.PROJECTION,
    tables.LOAD_ROOM,
)


def page_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """athlete_pages, as a whole: the table says which page shows what, the pages lie in ATHLETE_REPORTS."""

    @table_asset(
        settings,
        [
            table_spec(
                tables.ATHLETE_PAGES,
                settings,
                deps=[*(asset_key(table) for table in SHOWN), *(model_key(spec) for spec in MODELS.values())],
                kinds={"delta", "pyspark", "html"},
                metadata=page_link(settings),
            )
        ],
        checks=check_specs(tables.ATHLETE_PAGES, (*checks.CONTRACT_CHECKS, anomalies.ROW_COUNT_STABLE)),
    )
    def athlete_pages(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        store = store_of(context)
        written, said = list[Written](), dict[str, Any]()
        if is_materializing(context) and folder_of(settings) is None:
            said["pages"] = "none: ATHLETE_REPORTS names no volume to write them to"
            context.log.warning(said["pages"])
        elif is_materializing(context):
            pages = site.write_pages(store, settings)
            written.append(pages.written)
            said = {
                "pages": dg.MetadataValue.path(str(pages.index)),
                "pages_written": pages.rendered,
                "athletes": _athletes(pages.rows, settings),
                **page_link(settings),
            }
        stable = anomalies.row_count_stable(written, settings)
        yield materialize_result(store, tables.ATHLETE_PAGES, written=written, outcomes=[stable], **said)

    return [athlete_pages]


def _athletes(rows: Sequence[dict[str, Any]], settings: Settings) -> dg.TableMetadataValue:
    """The coach's page in short: those with the newest activities, and the address of each page."""
    address = settings.pages_address
    newest = sorted(rows, key=lambda row: (row["days"], row["athlete"]))[: charts.NEWEST_ATHLETES]
    records = []
    for row in newest:
        fitness, form, ramp, distance = (text for text, _ in row["cells"])
        days, predicted, moved = (text for text, _ in row["after"])
        records.append(
            dg.TableRecord(
                {
                    "athlete": row["athlete"],
                    "fitness": fitness,
                    "form": form,
                    "ramp": ramp,
                    "km in 28 days": distance,
                    "risk": row["risk"],
                    "days since": days,
                    "10k": predicted,
                    "10k moved": moved,
                    "page": f"{address}/{row['page']}" if address else row["page"],
                }
            )
        )
    return charts.table(records)
