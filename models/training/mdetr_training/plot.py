"""A picture of a run's curves."""

import csv
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

METRICS = {
    "score": "mean of what is measured",
    "r1": "recall at 1",
    "f1": "F1 of boxes",
    "acc": "recall at 1 of relations' targets",
    "false": "boxes where nothing is named",
    "final": "the object that a caption is about",
    "qa": "questions answered right",
    "miou": "mean IoU of masks",
}
"""Titles of what `evaluate` measures, by the name before the slash."""
LOSSES, WORDS = "losses", "words of tokens right"
LOG_SPAN = 30
"""Losses whose largest value is more than that many times the smallest get a logarithmic axis."""


@dataclass
class Curves:
    """A run's values over the steps of all stages, one stage after the other."""

    panels: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    """Value by step by name by panel."""
    starts: list[int] = field(default_factory=list)
    """The step at which each stage but the first began."""


def panel(name: str) -> str:
    """The title of the panel that a value of that name belongs to."""
    if name.startswith("ACC"):
        return WORDS
    return METRICS.get(name.partition("/")[0], LOSSES)


def read(path: Path) -> Curves:
    """The curves in a run's curves.csv. Of values written twice, after a resumption, the last
    counts. Errors name the file and the line."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    stages: dict[int, list[tuple[int, str, float]]] = defaultdict(list)
    for number, row in enumerate(rows[1:], start=2):
        try:
            stage, step, name, value = row
            stages[int(stage)].append((int(step), name, float(value)))
        except ValueError as error:
            raise ValueError(
                f"{path}: line {number}: expected stage,step,name,value, found {','.join(row)!r}"
            ) from error
    if not stages:
        raise ValueError(f"{path}: expected curves, found none; train for --every steps at least")
    curves, start = Curves(), 0
    for stage in sorted(stages):
        if start:
            curves.starts.append(start)
        for step, name, value in stages[stage]:
            of_name = curves.panels.setdefault(panel(name), {}).setdefault(name, {})
            of_name[start + step] = value
        start += max(step for step, _, _ in stages[stage])
    return curves


def draw(curves: Curves, out: Path) -> None:
    """Write the curves as a picture, in the format that its name ends in."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("error: plot: expected matplotlib; pip install 'models/training[plot]'")
    matplotlib.use("agg")
    from matplotlib import pyplot

    titles = [LOSSES, WORDS, *METRICS.values()]
    shown = [title for title in titles if title in curves.panels]
    figure, axes = pyplot.subplots(
        len(shown), figsize=(9, 2.8 * len(shown)), sharex=True, squeeze=False, layout="constrained"
    )
    for ax, title in zip(axes[:, 0], shown, strict=True):
        ax.set_prop_cycle(color=matplotlib.colormaps["tab20"].colors)
        values = []
        for name, by_step in sorted(curves.panels[title].items()):
            ax.plot(list(by_step), list(by_step.values()), marker=".", label=name)
            values += [v for v in by_step.values() if v > 0]
        if title == LOSSES and values and max(values) > LOG_SPAN * min(values):
            ax.set_yscale("log")
        for start in curves.starts:
            ax.axvline(start, color="0.8", zorder=0)
        ax.set_title(title, loc="left", fontsize="medium")
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="x-small")
        ax.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("steps")
    figure.savefig(out, dpi=120)
    pyplot.close(figure)
