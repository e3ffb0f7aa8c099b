"""Draws the pictures of docs/ from the code: `python docs/draw.py`. No time and no random number is in them."""

from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

from syncnet_lib import imports
from syncnet_lib.media.features import MFCC_SIZE, WINDOW_FRAMES, WINDOW_MFCC
from syncnet_lib.model.spec import SPECS

DOCS = Path(__file__).resolve().parent

STYLE = """
  svg { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; }
  text { fill: #1f2328; font-size: 19px; text-anchor: middle; }
  .note { fill: #59636e; font-size: 16px; }
  .strong { font-weight: 600; }
  .dip { stroke: #1a7f37; stroke-width: 4; }
  rect { fill: #ffffff; stroke: #8c959f; stroke-width: 2; }
  .video { fill: #ddf4ff; stroke: #0969da; }
  .audio { fill: #fff1e5; stroke: #bc4c00; }
  .joint { fill: #dafbe1; stroke: #1a7f37; }
  path { fill: none; stroke: #6e7781; stroke-width: 2; }
  .head { fill: #6e7781; stroke: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .note { fill: #b0b9c2; }
    rect { fill: #151b23; stroke: #6e7781; }
    .video { fill: #0c2d6b; stroke: #58a6ff; }
    .audio { fill: #5a1e02; stroke: #f0883e; }
    .joint { fill: #04260f; stroke: #3fb950; }
    path { stroke: #b0b9c2; }
    .dip { stroke: #3fb950; }
    .head { fill: #b0b9c2; }
  }
"""


def svg(width: int, height: int, title: str, parts: list[str]) -> str:
    """A picture that follows the reader's colour scheme."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
    marker = (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="head" d="M0 0 L10 5 L0 10 Z"/></marker></defs>'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", marker, *parts, "</svg>\n"])


def text(x: float, y: float, content: str, kind: str = "") -> str:
    """A line of text with its centre at a point."""
    return f'<text x="{x:g}" y="{y + 7:g}" class="{kind}">{escape(content)}</text>'


def box(x: float, y: float, width: float, height: float, lines: list[str], kind: str = "") -> str:
    """A rounded box with lines of text, the first of them strong."""
    middle = y + height / 2 - 13 * (len(lines) - 1)
    rows = [text(x + width / 2, middle + 26 * n, line, "note" if n else "strong") for n, line in enumerate(lines)]
    return "\n".join(
        [f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" class="{kind}"/>', *rows]
    )


def arrow(path: str) -> str:
    """An arrow along a path of SVG."""
    return f'<path d="{path}" marker-end="url(#head)"/>'


def rooms() -> dict[str, set[str]]:
    """Each room and the rooms that its modules import from; "cli" for everything that stands above the rooms."""
    found: dict[str, set[str]] = {_room(name): set() for name in imports.graph()}
    for name, others in imports.graph().items():
        found[_room(name)] |= {_room(other) for other in others} - {_room(name)}
    return found


def _room(name: str) -> str:
    """The room of a module; "cli" for one outside of the rooms that imports from them."""
    below = imports.closure(imports.graph()[name])
    return imports.room(name) or ("cli" if any(imports.room(other) for other in below) else "")


def levels(graph: dict[str, set[str]]) -> list[list[str]]:
    """The rooms from top to bottom: each as low as what it imports allows.

    Raises:
        ValueError: rooms import each other in a circle.
    """
    todo, rows = dict(graph), []
    while todo:
        row = sorted(room for room, below in todo.items() if not below & todo.keys())
        if not row:
            raise ValueError(f"rooms import each other: {', '.join(sorted(todo))}")
        rows.append(row)
        todo = {room: below for room, below in todo.items() if room not in row}
    return rows[::-1]


ROOM_WIDTH, ROOM_HEIGHT = 270, 60


def architecture() -> str:
    """The rooms, and arrows to those that each imports from.

    An arrow that a longer way implies is left out: the command reaches the ground floor by way of everything.
    """
    graph = rooms()
    centres = {}
    for row, level in enumerate(levels(graph)):
        for column, room in enumerate(level):
            centres[room] = 420 + (column - (len(level) - 1) / 2) * 440, 60 + row * 96
    parts = []
    for room, below in graph.items():
        implied = set().union(*(_reach(graph, other) for other in below))
        parts += [arrow(_route(*centres[room], *centres[other])) for other in sorted(below - implied)]
    for room, (x, y) in centres.items():
        name = room or "ground floor"
        parts.append(box(x - ROOM_WIDTH / 2, y - ROOM_HEIGHT / 2, ROOM_WIDTH, ROOM_HEIGHT, [name]))
    height = max(y for _, y in centres.values()) + 60
    return svg(840, height, "Rooms of syncnet_lib and the imports between them", parts)


def _reach(graph: dict[str, set[str]], room: str) -> set[str]:
    """All rooms that a room imports from, directly or not."""
    return set().union(*({other} | _reach(graph, other) for other in graph[room]))


def _route(x: float, y: float, to_x: float, to_y: float) -> str:
    """From a room to one below: down, or sideways and down where other rooms lie between them."""
    half_width, half_height = ROOM_WIDTH / 2, ROOM_HEIGHT / 2
    if to_y - y < 100:
        middle = (y + to_y) / 2
        end = to_y - half_height
        return f"M{x:g} {y + half_height:g} C{x:g} {middle:g} {to_x:g} {middle - 12:g} {to_x:g} {end:g}"
    side = 1 if to_x > x else -1
    if abs(x - 420) > abs(to_x - 420):  # from the edge of the picture: down, then inwards
        start = f"M{x:g} {y + half_height:g} V{to_y - 40:g}"
        return f"{start} Q{x:g} {to_y:g} {x + side * 40:g} {to_y:g} H{to_x - side * half_width:g}"
    start = f"M{x + side * half_width:g} {y:g} H{to_x - side * 40:g}"
    return f"{start} Q{to_x:g} {y:g} {to_x:g} {y + 40:g} V{to_y - half_height:g}"


def streams() -> str:
    """From a video to its offset: the stages and the two streams, with the shapes of the network `paper`."""
    paper = SPECS["paper"]
    embedding = f"{paper.embedding}-D embedding"
    video = {
        0: ["frames", "25 a second"],
        1: ["face tracks", "one a face"],
        2: ["mouth crops", "120×120 gray"],
        3: ["window", f"{WINDOW_FRAMES}×{paper.size}×{paper.size}"],
        4: ["video network", embedding],
    }
    audio = {
        0: ["samples", "16 kHz mono"],
        1: ["MFCC", f"{MFCC_SIZE} × 100 a second"],
        3: ["window", f"{MFCC_SIZE}×{WINDOW_MFCC}"],
        4: ["audio network", embedding],
    }
    last = _left(4) + CELL
    parts = [
        *_chain(video, 30, "video"),
        *_chain(audio, 170, "audio"),
        arrow(f"M90 113 V100 Q90 72 118 72 H{_left(0) - 2}"),
        arrow(f"M90 171 V184 Q90 212 118 212 H{_left(0) - 2}"),
        box(15, 113, 150, 58, ["video file"]),
        # The networks meet in the distances; from there it goes back to the left.
        arrow(f"M{_left(4) + CELL / 2:g} 254 V328"),
        arrow(
            f"M{last} 72 H{last + 12} Q{last + 30} 72 {last + 30} 90 V354 Q{last + 30} 372 {last + 12} 372 H{last + 2}"
        ),
        box(_left(4), 330, CELL, 84, ["distances", "window × shift"], "joint"),
        arrow(f"M{_left(4)} 372 H{_left(3) + CELL + 2}"),
        box(_left(3), 330, CELL, 84, ["mean", "of each shift"], "joint"),
        arrow(f"M{_left(3)} 372 H{_left(2) + CELL + 2}"),
        *_curve(_left(1) + 60, 318, _left(2) + CELL - _left(1) - 60, 108),
        arrow(f"M{_left(1) + 60} 345 H{_left(0) + CELL + 2}"),
        arrow(f"M{_left(1) + 60} 399 H{_left(0) + CELL + 2}"),
        box(15, 318, _left(0) + CELL - 15, 50, ["offset: shift of the minimum"], "joint"),
        box(15, 378, _left(0) + CELL - 15, 50, ["confidence: median − min."], "joint"),
    ]
    return svg(last + 45, 445, "From a video to its offset", parts)


CELL, GAP = 176, 28


def _left(column: int) -> int:
    """Left edge of a column of boxes."""
    return 200 + column * (CELL + GAP)


def _chain(boxes: dict[int, list[str]], y: float, kind: str) -> list[str]:
    """Boxes by their column, an arrow from each to the next."""
    middle = y + 42
    parts = [arrow(f"M{_left(here) + CELL} {middle:g} H{_left(there) - 2}") for here, there in pairwise(boxes)]
    return parts + [box(_left(column), y, CELL, 84, lines, kind) for column, lines in boxes.items()]


def _curve(x: float, y: float, width: float, height: float) -> list[str]:
    """A small plot: the mean distance over the shifts of a clip whose offset is +3."""
    shifts = range(-15, 16)
    dip = {2: 0.5, 3: 0.25, 4: 0.5}
    distance = [dip.get(shift, 0.82 + 0.03 * (shift * 7 % 5 - 2)) for shift in shifts]
    points = [
        f"{x + width * (0.06 + 0.88 * (shift + 15) / 30):.1f} {y + height * (1 - value) + 2:.1f}"
        for shift, value in zip(shifts, distance, strict=True)
    ]
    frame = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'
    label = text(x + width / 2, y + height - 14, "mean distance, shifts −15 … +15", "note")
    return [frame, label, f'<path class="dip" d="M{" L".join(points)}"/>']


PICTURES = {"architecture.svg": architecture, "streams.svg": streams}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (DOCS / name).write_text(draw(), encoding="utf-8")
