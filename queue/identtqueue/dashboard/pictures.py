"""Small pictures inside tables, as SVG: no script draws them, and no style attribute is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

WIDTH = 96
HEIGHT = 22


def spark(values: Sequence[float], label: str, over: Sequence[float] = ()) -> Markup:
    """Draw bars of a course of values.

    Args:
        values: the heights, oldest first.
        label: says in words what the picture shows.
        over: the part of each value that is drawn in the colour of failures.
    """
    top = max([*values, 1e-9])
    width = WIDTH / max(1, len(values))
    bars = [
        Markup('<path class="spark-base" d="M0 {}.5H{}"/>').format(HEIGHT - 1, WIDTH),
        _bars(values, top, width, "spark-all"),
    ]
    if any(over):
        bars.append(_bars(over, top, width, "spark-bad"))
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        "{}</svg>"
    ).format(WIDTH, HEIGHT, WIDTH, HEIGHT, label, Markup("").join(bars))


def _bars(values: Sequence[float], top: float, width: float, kind: str) -> Markup:
    """Draw all bars as one path: a bar is a vertical line of this width."""
    lines = [
        f"M{(i + 0.5) * width:.1f} {HEIGHT}V{HEIGHT - max(1.0, value / top * (HEIGHT - 1)):.1f}"
        for i, value in enumerate(values)
        if value > 0
    ]
    return Markup('<path class="{}" stroke-width="{}" d="{}"/>').format(
        kind, f"{max(1.0, width - 1):.1f}", "".join(lines)
    )


def shares(parts: Iterable[tuple[str, float]], label: str) -> Markup:
    """Draw a bar whose parts are as wide as their shares of the whole.

    Args:
        parts: name of the colour (class `share-<name>`) and value of each.
        label: says in words what the picture shows.
    """
    found = [(name, value) for name, value in parts if value > 0]
    whole = sum(value for _, value in found)
    at, drawn = 0.0, []
    for name, value in found:
        wide = 100 * value / whole
        drawn.append(
            Markup('<rect class="share-{}" x="{}" width="{}" y="0" height="6"/>').format(
                name, f"{at:.2f}", f"{wide:.2f}"
            )
        )
        at += wide
    return Markup(
        '<svg class="shares" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>'
    ).format(label, Markup("").join(drawn))
