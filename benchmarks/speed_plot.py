"""The tables and the plot of docs/speed.md, from what feature_build.py measured: python benchmarks/speed_plot.py.

    python benchmarks/feature_build.py --athletes 600 --into benchmarks/speed/600.json     for each size, first

Prints the tables as Markdown and writes docs/images/speed.svg. A size that somebody was not measured at is told by the
line through the two largest that he was: CPU seconds = fixed + share x athletes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FIGURES, PLOT = HERE / "speed", HERE.parent / "docs" / "images" / "speed.svg"
FOUR = ("activity", "daily", "weekly", "rolling")
ALL = (*FOUR, "performance", "next day", "its gold")
WHO = ("ours", "polars", "duckdb")
NAMES = {"duckdb": "DuckDB"}
FULL = 36_412

Figures = dict[tuple[int, str, str], dict[str, Any]]
"""What was measured, by athletes, who and step."""


def main() -> None:
    read = [json.loads(path.read_text()) for path in FIGURES.glob("*.json")]
    figures = {(each["athletes"], line["who"], line["step"]): line for each in read for line in each["steps"]}
    activities = {each["athletes"]: each["activities"] for each in read}
    sizes = sorted(activities)
    print_sizes(figures, sizes, activities)
    if len(sizes) > 1:
        print_growth(figures, sizes)
    plot(figures, sizes)


def cpu(figures: Figures, size: int, who: str, steps: tuple[str, ...] = FOUR) -> float:
    return sum(figures[size, who, step]["cpu"] for step in steps)


def measured_at(figures: Figures, sizes: list[int], who: str) -> list[int]:
    return [size for size in sizes if (size, who, FOUR[0]) in figures]


def line_through(figures: Figures, sizes: list[int], who: str, steps: tuple[str, ...] = FOUR) -> tuple[float, float]:
    """Fixed CPU seconds, and CPU seconds an athlete, by the two largest sizes."""
    one, other = measured_at(figures, sizes, who)[-2:]
    share = (cpu(figures, other, who, steps) - cpu(figures, one, who, steps)) / (other - one)
    return cpu(figures, other, who, steps) - share * other, share


def print_sizes(figures: Figures, sizes: list[int], activities: dict[int, int]) -> None:
    for size in sizes:
        print(f"\n{size:,} athletes, {activities[size]:,} activities\n")
        heads = "step, rows, ours CPU s, of it kernels, polars, DuckDB, ours / polars, ours / DuckDB"
        print_head(f"{heads}, peak MB of the three, MB that ours read, MB of files, values compared")
        for step in ALL:
            of_each = {who: figures[size, who, step] for who in WHO if (size, who, step) in figures}
            ours, peers = of_each["ours"], {who: figures.get((size, who, step)) for who in WHO[1:]}
            spent = [f"{peer['cpu']:.2f}" if peer else "" for peer in peers.values()]
            shares = [f"{ours['cpu'] / peer['cpu']:.1f}" if peer else "" for peer in peers.values()]
            print_row(
                *(step, f"{ours['rows']:,}", f"{ours['cpu']:.1f}", f"{ours['kernels']:.1f}", *spent, *shares),
                ", ".join(f"{each['peak']:.0f}" for each in of_each.values()),
                f"{ours['read']:,.0f}",
                ", ".join(f"{each['bytes'] / 1e6:.1f}" for each in of_each.values()),
                " + ".join(f"{peer['same']:,}" for peer in peers.values() if peer),
            )
        there = [who for who in WHO[1:] if size in measured_at(figures, sizes, who)]
        sums = {who: cpu(figures, size, who) for who in ("ours", *there)}
        kernels = sum(figures[size, "ours", step]["kernels"] for step in FOUR)
        shares = [f"{sums['ours'] / sums[who]:.2f}" if who in sums else "" for who in WHO[1:]]
        same = sum(figures[size, who, step]["same"] for who in there for step in FOUR)
        spent = [f"{sums[who]:.2f}" if who in sums else "" for who in WHO[1:]]
        print_row(
            "the first four", "", f"{sums['ours']:.1f}", f"{kernels:.1f}", *spent, *shares, "", "", "", f"{same:,}"
        )


def print_row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


def print_head(names: str) -> None:
    heads = names.split(", ")
    print_row(*heads)
    print("|---" * len(heads) + "|")


def print_growth(figures: Figures, sizes: list[int]) -> None:
    print()
    print_head(", ".join(["CPU s", *(f"{size:,} athletes" for size in sizes), "fixed", "a 1,000 athletes"]))
    lines = [(f"ours, {step}", "ours", (step,)) for step in ALL]
    lines += [(f"{NAMES.get(who, who)}, the first four", who, FOUR) for who in WHO]
    lines.append(("ours, with performance", "ours", ALL[:5]))
    for name, who, steps in lines:
        fixed, share = line_through(figures, sizes, who, steps)
        there = measured_at(figures, sizes, who)
        at = [
            f"{cpu(figures, size, who, steps):,.1f}" if size in there else f"({fixed + share * size:,.0f} by the line)"
            for size in sizes
        ]
        print_row(name, *at, f"{fixed:.1f}" if fixed > 0 else "", f"{1000 * share:.1f}")
    shares = {who: line_through(figures, sizes, who)[1] for who in WHO}
    whole = line_through(figures, sizes, "ours", ALL[:5])[1]
    print(f"\nours / polars by the growth alone: {shares['ours'] / shares['polars']:.2f}, ", end="")
    print(f"with performance {whole / shares['polars']:.2f}; ours / DuckDB {shares['ours'] / shares['duckdb']:.2f}")
    for size in sizes:
        build, day = cpu(figures, size, "ours", ALL[:5]), cpu(figures, size, "ours", ALL[5:])
        print(f"{size:,}: build {build:.1f}, next day and its gold {day:.1f} = {day / build:.0%}")


def plot(figures: Figures, sizes: list[int]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    count = min(len(sizes), 2)
    figure, axes = plt.subplots(1, count, figsize=(5 * count, 4), layout="constrained", squeeze=False)
    if len(sizes) > 1:
        plot_growth(axes[0, 0], figures, sizes)
    plot_steps(axes[0, -1], figures, sizes[-1])
    matplotlib.rcParams["svg.hashsalt"] = "speed"
    figure.savefig(PLOT, metadata={"Date": None})


def plot_growth(growth: Any, figures: Figures, sizes: list[int]) -> None:
    lines = [("ours, with performance", "ours", ALL[:5], "C3"), ("ours, first four steps", "ours", FOUR, "C0")]
    lines += [("DuckDB, first four", "duckdb", FOUR, "C2"), ("polars, first four", "polars", FOUR, "C1")]
    lines.append(("ours, the next day", "ours", ALL[5:], "C4"))
    for label, who, which, colour in lines:
        there = measured_at(figures, sizes, who)
        growth.plot(there, [cpu(figures, size, who, which) for size in there], "o-", color=colour, label=label)
        fixed, share = line_through(figures, sizes, who, which)
        ahead = [there[-1], max(there[-1], FULL)]
        growth.plot(ahead, [fixed + share * size for size in ahead], ":", color=colour)
    growth.set(xscale="log", yscale="log", xlabel="athletes, two years each", ylabel="CPU seconds")
    growth.set_title("measured (dots), and the line through the last two (dotted)", fontsize=10)
    growth.legend(fontsize=8)


def plot_steps(steps: Any, figures: Figures, largest: int) -> None:
    for number, who in enumerate(WHO):
        which = ALL[:5] if who == "ours" else FOUR
        if largest not in measured_at(figures, [largest], who):
            continue
        places = [place + 0.27 * (number - 1) for place in range(len(which))]
        heights = [figures[largest, who, step]["cpu"] for step in which]
        bars = steps.bar(places, heights, 0.25, label=who.replace("duckdb", "DuckDB"), color=("C0", "C1", "C2")[number])
        steps.bar_label(bars, fmt="%.1f", fontsize=7)
    steps.set_xticks(range(5), ALL[:5])
    steps.set(ylabel="CPU seconds", yscale="log")
    steps.set_title(f"each step of {largest:,} athletes", fontsize=10)
    steps.legend(fontsize=8)


if __name__ == "__main__":
    main()
