"""Figures of a card: funnel, lengths, slots, contests, training curve; the same bytes for the same numbers.

PNGs for a page 800 pixels wide. Colours are from Okabe and Ito's palette, which colour-blind readers can tell apart,
and every bar carries its number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, SKY, ORANGE, GREY, INK = "#0072B2", "#56B4E9", "#E69F00", "#8A8A8A", "#333333"
WIDTH = 8.0  # inches, so that 11 points are 15 pixels on a page of 800
_DOTS = 160
_MOST_REASONS = 10


def funnel(rounds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Left: seeds kept, dropped and failed by round; right: what dropped or failed them, over all rounds.

    `rounds`: [{"round", "kept", "dropped": {reason: n}, "failed": {error: n}}].
    """
    shown = _lost(rounds)
    rows = max(len(rounds), 0.62 * len(shown), 2)
    with drawing(path, 0.62 * rows + 1.2, columns=2 if shown else 1) as axes:
        parts = {
            "kept": [each["kept"] for each in rounds],
            "dropped": [sum(each["dropped"].values()) for each in rounds],
            "failed": [sum(each["failed"].values()) for each in rounds],
        }
        _stacked(axes[0], [f"round {each['round']}" for each in rounds], parts, (BLUE, ORANGE, GREY))
        axes[0].set_title("Seeds by what became of them", loc="left")
        if shown:
            _reasons(axes[1], shown)


def lengths(turns: Sequence[int], words: Sequence[int], path: Path) -> None:
    """Histograms of turns a dialogue and of words a turn, with the median marked."""
    with drawing(path, 3.2, columns=2) as axes:
        _histogram(axes[0], turns, "Turns of a conversation", "conversations")
        _histogram(axes[1], words, "Words of a turn", "turns")


def slots(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """In how many of the user's turns each slot is set, in hundredths; the reference's below where rows have it.

    `rows`: [{"slot", "share", "reference"?}], from top to bottom; shares are 0 to 1.
    """
    kinds = [("share", "here", BLUE), ("reference", "reference", ORANGE)]
    shown = [kind for kind in kinds if all(kind[0] in row for row in rows)]
    width = 0.8 / len(shown)
    with drawing(path, (0.12 + 0.12 * len(shown)) * max(len(rows), 2) + 1.2) as axes:
        for place, (key, label, colour) in enumerate(shown):
            shares = [100 * row[key] for row in rows]
            lines = [row + (place - (len(shown) - 1) / 2) * width for row in range(len(rows))]
            bars = axes[0].barh(lines, shares, color=colour, height=0.9 * width, label=label)
            axes[0].bar_label(bars, [f"{share:.1f}" for share in shares], padding=4, fontsize=8)
        axes[0].set_yticks(range(len(rows)), [row["slot"] for row in rows], fontsize=9)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        axes[0].margins(x=0.1)
        axes[0].set_title("User turns whose state has the slot, %", loc="left")
        _bare(axes[0])
        if len(shown) > 1:
            axes[0].legend(frameon=False, loc="lower right")


def critics(contests: Sequence[Mapping[str, int]], path: Path) -> None:
    """How the conversation that each pair ended a round with had come out on top.

    `contests`: [{"round", "challenger", "incumbent", "outvoted others"?, "unopposed"?}].
    """
    with drawing(path, 0.62 * max(len(contests), 2) + 1.2) as axes:
        parts = {
            label: [each.get(name, 0) for each in contests]
            for name, label in (
                ("challenger", "beat the round before"),
                ("outvoted others", "beat other candidates"),
                ("incumbent", "stayed from before"),
                ("unopposed", "had no rival"),
            )
        }
        _stacked(axes[0], [f"round {each['round']}" for each in contests], parts, (BLUE, SKY, ORANGE, GREY))
        axes[0].set_title("How a pair's conversation won its round", loc="left")


def curve(points: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss by step; evaluation loss where points have one. `points`: [{"step", "loss"?, "eval_loss"?}]."""
    with drawing(path, 3.6) as axes:
        for key, label, colour, mark in (("loss", "training", BLUE, ""), ("eval_loss", "evaluation", ORANGE, "o")):
            line = [(each["step"], each[key]) for each in points if each.get(key) is not None]
            if line:
                steps, losses = zip(*line, strict=True)
                axes[0].plot(steps, losses, color=colour, marker=mark, markersize=4, linewidth=1.8, label=label)
        axes[0].legend(frameon=False, loc="upper right")
        axes[0].grid(axis="y", color="#E4E4E4", linewidth=0.8)
        axes[0].set_axisbelow(True)
        axes[0].set_title("Loss, nats a token", loc="left")
        axes[0].set_xlabel("step")


@contextmanager
def drawing(path: Path, height: float, columns: int = 1) -> Iterator[Sequence[Axes]]:
    """`columns` axes side by side that become `path` at the end. No pyplot: no state, no user's settings."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": "DejaVu Sans",
                "font.size": 11,
                "axes.titlesize": 12,
                "text.color": INK,
                "axes.labelcolor": INK,
                "axes.edgecolor": "#BBBBBB",
                "xtick.color": INK,
                "ytick.color": INK,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "savefig.facecolor": "white",
            }
        )
        figure: Figure = Figure(figsize=(WIDTH, height), dpi=_DOTS, layout="constrained")
        yield figure.subplots(1, columns, squeeze=False)[0]
        figure.savefig(path, format="png", metadata={"Software": None})


def _stacked(axes: Axes, names: Sequence[str], parts: Mapping[str, Sequence[int]], colours: Sequence[str]) -> None:
    """Horizontal bars from top to bottom, each cut into `parts`, numbers inside (thin parts: after the bar)."""
    total = max((sum(column) for column in zip(*parts.values(), strict=True)), default=0) or 1
    left, thin = [0] * len(names), [""] * len(names)
    for (label, values), colour in zip(parts.items(), colours, strict=True):
        if not any(values):
            continue
        bars = axes.barh(range(len(names)), values, left=left, color=colour, height=0.62, label=label)
        texts = [f"{value:,}" if value / total > 0.05 else "" for value in values]
        thin = [
            f"{said}  {value:,} {label}" if value and not text else said
            for said, value, text in zip(thin, values, texts, strict=True)
        ]
        axes.bar_label(bars, texts, label_type="center", color="white" if colour == BLUE else "black")
        left = [start + value for start, value in zip(left, values, strict=True)]
    for row, text in enumerate(thin):
        axes.annotate(text.strip(), (left[row], row), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, total * (1.25 if any(thin) else 1.02))
    axes.invert_yaxis()
    _bare(axes)
    axes.legend(
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, -0.01),
        ncols=len(parts),
        handlelength=1,
        handleheight=1,
        columnspacing=1.2,
        borderpad=0,
        borderaxespad=0,
    )


def _lost(rounds: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    """Reason, seeds over all rounds, colour; most frequent first, the tail as one."""
    counts = Counter[tuple[str, str]]()
    for each in rounds:
        counts.update({(name, ORANGE): count for name, count in each["dropped"].items()})
        counts.update({(name, GREY): count for name, count in each["failed"].items()})
    lost = [(name, count, colour) for (name, colour), count in counts.most_common() if count]
    head, tail = lost[:_MOST_REASONS], lost[_MOST_REASONS:]
    return [*head, ("others", sum(count for _, count, _ in tail), ORANGE)] if tail else head


def _reasons(axes: Axes, reasons: Sequence[tuple[str, int, str]]) -> None:
    names, counts, colours = zip(*reasons, strict=True)
    bars = axes.barh(range(len(names)), counts, color=colours, height=0.62)
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=4)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title("What they were lost to, all rounds", loc="left")
    _bare(axes)


def _bare(axes: Axes) -> None:
    """No horizontal axis: the bars carry their numbers."""
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0)
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)


def _histogram(axes: Axes, values: Sequence[int], title: str, what: str) -> None:
    """Bars of whole numbers up to the 99th percentile; longer ones are counted in the last bar, which says so."""
    ordered = sorted(values)
    low, median, high = ordered[0], ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))]
    step = max(1, -(-(high - low + 1) // 30))
    edges = list(range(low, high + step + 1, step))
    last = edges[-1] - 1
    axes.hist([min(value, last) for value in ordered], bins=[edge - 0.5 for edge in edges], color=BLUE, rwidth=0.88)
    axes.axvline(median, color=ORANGE, linewidth=2)
    axes.annotate(
        f"median {median:,}",
        (median, 1),
        xycoords=("data", "axes fraction"),
        xytext=(5, -4),
        textcoords="offset points",
        va="top",
    )
    axes.margins(y=0.18)
    axes.set_title(title, loc="left")
    axes.set_ylabel(what)
    axes.yaxis.set_major_locator(_whole())
    axes.xaxis.set_major_locator(_whole())
    if ordered[-1] > last:
        axes.set_xlabel(f"last bar: {last - step + 1} and more, up to {ordered[-1]:,}")


def _whole() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, integer=True, min_n_ticks=1)
