"""Small charts for the Dagster UI: PNGs inside markdown metadata, readable at a glance, under 60 kB each.

They hang on one materialisation only, the newest day's: metadata of a range is stored once a partition.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from athlete_assets import tables
from athlete_assets.days import ONE_DAY, Days, midnight
from athlete_assets.models.conformal import COVERAGE
from athlete_assets.monitoring import online
from athlete_assets.store.columns import within

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from athlete_assets.models.distributions import Counts, Distribution

ATHLETES = 3
"""Athletes on one chart, those with the highest fitness."""
LOAD_DAYS = 180
WEEKS = 26
NEWEST_ATHLETES = 20
"""Athletes in a table of newest values."""
WIDTH, ROW_HEIGHT, DPI = 7.2, 1.9, 80
COLOURS = 48
FITNESS, FATIGUE, FORM, VOLUME = "#2a6f97", "#e07a5f", "#8d99ae", "#3a86a8"


def training_load(rolling: DataFrame, last: date) -> dg.MarkdownMetadataValue | None:
    """Fitness, fatigue and form of the last LOAD_DAYS. rolling: ROLLING rows. None without rows on the last day."""
    athletes = _fittest(rolling, last)
    since = midnight(last - timedelta(days=LOAD_DAYS))
    columns = ("athlete_id", "as_of_date", "ctl_42d", "atl_7d", "tsb")
    frame = rolling.where(F.col("athlete_id").isin(*athletes) & (F.col("as_of_date") >= F.lit(since))).select(*columns)
    rows = frame.toPandas().sort_values("as_of_date") if athletes else None
    if rows is None or rows.empty:
        return None
    figure, axes = _grid(len(athletes))
    for axis, athlete in zip(axes, athletes, strict=True):
        mine = rows[rows["athlete_id"] == athlete]
        # one shape in place of a bar a day, each of which is laid out by itself
        axis.fill_between(
            mine["as_of_date"], mine["tsb"], step="mid", color=FORM, alpha=0.45, linewidth=0, label="form (TSB)"
        )
        axis.plot(mine["as_of_date"], mine["atl_7d"], color=FATIGUE, linewidth=1.0, label="fatigue (ATL)")
        axis.plot(mine["as_of_date"], mine["ctl_42d"], color=FITNESS, linewidth=1.8, label="fitness (CTL)")
        _label(axis, athlete, "TSS a day")
    _legend(axes[0], columns=3)
    return markdown(figure, f"Training load of {', '.join(athletes)}, {LOAD_DAYS} days to {last}")


def weekly_volume(weekly: DataFrame, last: date) -> dg.MarkdownMetadataValue | None:
    """Kilometres of the last WEEKS weeks, with the mean of four. weekly: WEEKLY rows up to the last week."""
    since = last - timedelta(weeks=WEEKS)
    rows = weekly.where(within(tables.WEEKLY, Days(since + ONE_DAY, last)))
    most = rows.groupBy("athlete_id").agg(F.sum("weekly_distance_km").alias("km")).orderBy(F.desc("km"), "athlete_id")
    athletes = [row["athlete_id"] for row in most.limit(ATHLETES).collect()]
    if not athletes:
        return None
    theirs = rows.where(F.col("athlete_id").isin(*athletes))
    frame = theirs.select("athlete_id", "week_start", "weekly_distance_km").toPandas().sort_values("week_start")
    figure, axes = _grid(len(athletes))
    for axis, athlete in zip(axes, athletes, strict=True):
        mine = frame[frame["athlete_id"] == athlete]
        axis.bar(mine["week_start"], mine["weekly_distance_km"], width=5.5, color=VOLUME, alpha=0.7)
        mean = mine["weekly_distance_km"].rolling(4, min_periods=1).mean()
        axis.plot(mine["week_start"], mean, color=FATIGUE, linewidth=1.5, label="mean of 4 weeks")
        _label(axis, athlete, "km a week")
    _legend(axes[0])
    return markdown(figure, f"Weekly distance of {', '.join(athletes)}")


def prediction_fan(predictions: DataFrame, day: date) -> dg.MarkdownMetadataValue | None:
    """Predicted pace over the four distances with its 80 % interval. predictions: PREDICTIONS rows of the day."""
    rows = predictions.where(F.col("prediction_date") == F.lit(midnight(day)))
    rows = rows.where(F.col("predicted_10k_s").isNotNull()).orderBy("predicted_10k_s").limit(ATHLETES)
    frame = rows.toPandas()
    if frame.empty:
        return None
    figure, (axis,) = _grid(1, height=2.9)
    kilometres = [metres / 1000 for metres in tables.DISTANCES_M.values()]
    for number, (_, row) in enumerate(frame.iterrows()):
        colour = (FITNESS, FATIGUE, "#6a994e")[number]
        paces = {
            prefix: [
                row[f"{prefix}_{name}_s"] / 60 / km for name, km in zip(tables.DISTANCES_M, kilometres, strict=True)
            ]
            for prefix in ("predicted", "p10", "p90")
        }
        axis.fill_between(kilometres, paces["p10"], paces["p90"], color=colour, alpha=0.18, linewidth=0)
        axis.plot(kilometres, paces["predicted"], color=colour, marker="o", markersize=3.5, label=row["athlete_id"])
    axis.set_xscale("log")
    axis.set_xticks(kilometres, [*tables.DISTANCES_M], fontsize=7)
    axis.minorticks_off()
    axis.invert_yaxis()
    _label(axis, f"Predicted pace, {day} (band: 80 % of races)", "min/km, faster is up")
    _legend(axis, columns=ATHLETES)
    return markdown(figure, f"Predicted pace on {day}")


def online_error(judged: pd.DataFrame) -> dict[str, Any]:
    """Rolling error, bias and coverage by distance, and a table by distance, tier and version; nothing without rows.

    judged: PREDICTION_OUTCOMES rows of predictions that were made before the effort's day, oldest first.
    """
    if judged.empty:
        return {}
    figure, axes = _grid(3)
    measures = (
        ("mean error of the last 20 (%)", lambda rows: rows["error_pct"].abs()),
        ("bias of the last 20 (%), above 0 predicted too slow", lambda rows: rows["error_pct"]),
        ("share of the last 20 inside the 80 % interval", lambda rows: rows["in_interval"].astype(float)),
    )
    for axis, (title, measure) in zip(axes, measures, strict=True):
        for number, name in enumerate(tables.DISTANCES_M):
            rows = judged[judged["distance"] == name]
            if len(rows):
                mean = measure(rows).rolling(20, min_periods=1).mean()
                colour = (FITNESS, FATIGUE, "#6a994e", FORM)[number]
                axis.plot(
                    rows["activity_date"], mean, color=colour, linewidth=1.3, marker="o", markersize=2, label=name
                )
        _label(axis, title, "")
    axes[2].axhline(COVERAGE, color="black", linestyle="--", linewidth=0.8)
    axes[2].set_ylim(0, 1.02)
    _legend(axes[0], columns=4)
    return {
        "online_error": markdown(figure, "Error, bias and coverage of predictions by distance, as efforts came in"),
        "online_figures": _table(online.by_group(judged).round(4)),
    }


def _table(rows: pd.DataFrame) -> dg.TableMetadataValue:
    """Rows as the UI shows a table; null where a value is unknown."""
    records = [
        {str(name): None if value != value else value for name, value in record.items()}  # NaN is no value
        for record in rows.to_dict("records")
    ]
    kinds = {name: "float" if kind.kind == "f" else "string" for name, kind in rows.dtypes.items()}
    columns = [dg.TableColumn(str(name), kind) for name, kind in kinds.items()]
    return dg.MetadataValue.table([dg.TableRecord(record) for record in records], dg.TableSchema(columns))


def drift_histograms(columns: Mapping[str, tuple[Distribution, Counts]]) -> dg.MarkdownMetadataValue:
    """Shares of training and of what was scored, by the tenths of the training, unknown values last: side by side.

    columns: by name, a training's distribution and how many of the scored values lie in each of its bins.
    """
    from matplotlib.figure import Figure

    from athlete_assets.models import distributions

    figure = Figure(figsize=(WIDTH, 2.4), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for axis, (name, (reference, counts)) in zip(axes, columns.items(), strict=True):
        place = np.arange(len(reference.shares))
        axis.bar(place - 0.2, reference.shares, width=0.4, color=FORM, label="training")
        axis.bar(place + 0.2, distributions.shares_of(counts), width=0.4, color=FITNESS, label="scored")
        upper = [f"< {edge:.3g}" for edge in reference.edges]
        axis.set_xticks(place, [*upper, f">= {reference.edges[-1]:.3g}" if upper else "known", "null"], rotation=70)
        _label(axis, name, "share")
    _legend(axis, columns=2)
    return markdown(figure, f"Training against scored: {', '.join(columns)}")


def reject_reasons(rejects: DataFrame) -> dg.TableMetadataValue:
    """How many rows each rule rejected, and how many of them broke no other rule."""
    counted = rejects.select(F.explode("reject_reasons").alias("rule"), (F.size("reject_reasons") == 1).alias("alone"))
    rows = counted.groupBy("rule").agg(
        F.count(F.lit(1)).alias("rows"), F.sum(F.col("alone").cast("bigint")).alias("alone")
    )
    records = [
        dg.TableRecord({"rule": row["rule"], "rows": row["rows"], "for this rule alone": row["alone"]})
        for row in sorted(rows.collect(), key=lambda row: -row["rows"])
    ]
    columns = [dg.TableColumn("rule", "string"), dg.TableColumn("rows", "int")]
    columns.append(dg.TableColumn("for this rule alone", "int"))
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def newest(rows: DataFrame, columns: Sequence[str], by: str) -> dg.TableMetadataValue | None:
    """The newest values of NEWEST_ATHLETES athletes, those first that have the highest `by`. rows: of one day."""
    chosen = rows.select("athlete_id", *columns).orderBy(F.desc(by), "athlete_id").limit(NEWEST_ATHLETES)
    records = []
    for row in sorted(chosen.toArrow().to_pylist(), key=lambda row: (row[by] is None, -(row[by] or 0))):
        records.append(dg.TableRecord({name: _said(value) for name, value in row.items()}))
    return table(records) if records else None


def table(records: Sequence[dg.TableRecord]) -> dg.TableMetadataValue:
    """The records as a table in the UI; each has the names of the first."""
    columns = [dg.TableColumn(name) for name in (records[0].data if records else ())]
    return dg.MetadataValue.table(list(records), schema=dg.TableSchema(columns=columns))


def _said(value: Any) -> str | int | float | bool:
    """A value as a table of the UI takes it."""
    if isinstance(value, datetime):
        return str(value.date())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return round(value, 2)
    return "unknown" if value is None else value


def attach(context: dg.AssetExecutionContext, table: tables.Table, days: Days, charts: Mapping[str, Any]) -> None:
    """Hangs the charts that are there on the materialisation of the window's last partition."""
    present = {name: chart for name, chart in charts.items() if chart is not None}
    key = dg.AssetKey(list(table.path))
    if present and key in context.selected_asset_keys:
        context.add_asset_metadata(present, asset_key=key, partition_key=context.partition_key_range.end)


def _fittest(rolling: DataFrame, last: date) -> list[str]:
    at_end = rolling.where(F.col("as_of_date") == F.lit(midnight(last))).select("athlete_id", "ctl_42d")
    return [row["athlete_id"] for row in at_end.orderBy(F.desc("ctl_42d"), "athlete_id").limit(ATHLETES).collect()]


def _grid(rows: int, height: float = ROW_HEIGHT) -> tuple[Figure, Sequence[Axes]]:
    """Axes one above the other, with room for what `_label` writes; a computed layout would draw all a second time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height * rows), dpi=DPI)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    inches = height * rows
    figure.subplots_adjust(
        left=0.55 / WIDTH, right=1 - 0.1 / WIDTH, bottom=0.3 / inches, top=1 - 0.3 / inches, hspace=0.3
    )
    return figure, list(axes)


def _label(axis: Axes, title: str, unit: str) -> None:
    axis.set_title(title, fontsize=8, loc="left")
    axis.set_ylabel(unit, fontsize=7)
    axis.tick_params(labelsize=7)
    axis.grid(axis="y", alpha=0.25, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(axis: Axes, columns: int = 1) -> None:
    """On the line of the title, so that it hides no data."""
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.98), fontsize=7, ncols=columns, frameon=False, borderpad=0)


def markdown(figure: Figure, words: str) -> dg.MarkdownMetadataValue:
    """The figure as a PNG inside markdown. words: what a reader without pictures gets."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return picture(drawn.getvalue(), words)


def picture(png: bytes, words: str) -> dg.MarkdownMetadataValue:
    """The same of a figure that is drawn already."""
    from PIL import Image

    buffer = io.BytesIO()
    # a palette of few colours takes a third of the bytes, and the event log keeps them
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(buffer, format="png", optimize=True)
    return dg.MetadataValue.md(f"![{words}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
