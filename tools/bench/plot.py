"""A picture of the time that a frame takes, by number of queries."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from .bundles import Subject
from .contestants import CONTESTANTS
from .tables import QUERIES, Grid


def draw(grid: Grid, subjects: Sequence[Subject], out: Path) -> None:
    """Write the picture: one panel for each subject; bars up to the 95th percentile."""
    matplotlib.use("agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(
        1, len(subjects), figsize=(5 * len(subjects), 4.6), squeeze=False, layout="constrained"
    )
    for ax, subject in zip(axes[0], subjects, strict=True):
        for index, contestant in enumerate(CONTESTANTS):
            counts = [q for q in QUERIES if (subject.name, contestant.name, q) in grid]
            figures = [grid[subject.name, contestant.name, q] for q in counts]
            if not figures:
                continue
            middle = [f.p50 for f in figures]
            above = [f.p95 - f.p50 for f in figures]
            ax.errorbar(
                counts,
                middle,
                yerr=[[0] * len(above), above],
                label=contestant.title,
                color=f"C{index}",
                marker="os^Dv<>"[index % 7],
                markersize=5,
                capsize=2,
                linestyle="-" if contestant.ours else "--",
            )
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.yaxis.set_minor_locator(ticker.LogLocator(subs=(2, 5)))
        for label in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
            label(ticker.StrMethodFormatter("{x:,.0f}"))
        ax.set_xticks(QUERIES, map(str, QUERIES))
        ax.set_title(f"{subject.title}\nnetwork input {subject.network_input()}", fontsize="medium")
        ax.set_xlabel("queries")
        ax.grid(alpha=0.3, which="both")
    axes[0, 0].set_ylabel("milliseconds a frame, one core")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
