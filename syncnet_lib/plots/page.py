"""Figures and tables on one HTML page that needs nothing beside itself."""

import base64
import html as markup
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from matplotlib.figure import Figure

from syncnet_lib.plots.tables import comparison, controls, verdict


def png(figure: Figure) -> bytes:
    """A figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class Picture:
    """A picture on a page.

    Attributes:
        png: its bytes.
        says: what it shows, for who cannot see it.
    """

    png: bytes
    says: str


@dataclass(frozen=True)
class Links:
    """Files beside the page: text to path relative to it."""

    to: Mapping[str, str]


STYLE = """
:root { --text: #1f2933; --soft: #5f6c7b; --line: #d9dee4; --ground: #fff; --accent: #1b7f79; --panel: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e7eb; --soft: #9aa5b1; --line: #3e4c59; --ground: #15191e; --accent: #52c3ba; --panel: #1f252c; }
}
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem;
       color: var(--text); background: var(--ground); }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p { max-width: 44rem; } a { color: var(--accent); }
.lead { font-size: 1.15rem; padding: 1rem 1.25rem; background: var(--panel); border-left: 4px solid var(--accent);
        max-width: none; }
nav { margin: 1.5rem 0; } nav ul, .links { list-style: none; padding: 0; display: flex; flex-wrap: wrap;
      gap: .3rem 1.25rem; margin: 0; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--accent); }
tbody th { font-weight: 400; } tbody th, td { border-bottom: 1px solid var(--line); }
figure { margin: 1.5rem 0; overflow-x: auto; } img { max-width: 100%; height: auto; display: block; background: #fff;
         padding: .5rem; border-radius: .4rem; }
@media screen and (max-width: 45rem) { figure img { max-width: none; width: 44rem; } }
@media print {
  :root { --text: #000; --ground: #fff; --panel: #f4f6f8; --line: #ccc; --soft: #444; --accent: #1b7f79; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } nav { display: none; }
  h2, h3 { break-after: avoid; } table, tr, figure, .lead { break-inside: avoid; } .wide { overflow: visible; }
  th, td { white-space: normal; padding: .2rem .4rem; }
}
"""

Part: TypeAlias = str | pd.DataFrame | Picture | Links


def page(title: str, lead: str, parts: Sequence[Part]) -> str:
    """A page that needs nothing beside itself: light and dark, for a phone, a screen and paper.

    Args:
        title: of the page.
        lead: the finding in words, which comes first.
        parts: headings ("## " or "### ") and paragraphs as text, tables, pictures, links. The second-level headings are
            also the table of contents.

    Returns:
        HTML.
    """
    chapters = [part[3:] for part in parts if isinstance(part, str) and part.startswith("## ")]
    contents = "".join(f'<li><a href="#{_anchor(name)}">{markup.escape(name)}</a></li>' for name in chapters)
    body = f'<h1>{markup.escape(title)}</h1><p class="lead">{markup.escape(lead)}</p><nav><ul>{contents}</ul></nav>'
    return document(title, body + "".join(_html(part) for part in parts))


def document(title: str, body: str, style: str = "") -> str:
    """A whole HTML file around a body, in the look of all pages.

    Args:
        title: text.
        body: HTML.
        style: CSS beside `STYLE`.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{markup.escape(title)}</title>'
        f"<style>{STYLE}{style}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _html(part: Part) -> str:
    if isinstance(part, Picture):
        source = base64.b64encode(part.png).decode()
        return f'<figure><img alt="{markup.escape(part.says)}" src="data:image/png;base64,{source}"></figure>'
    if isinstance(part, pd.DataFrame):
        named = part if isinstance(part.index, pd.RangeIndex) else part.rename_axis(part.index.name or "").reset_index()
        return f'<div class="wide">{named.to_html(index=False, border=0, float_format="{:g}".format)}</div>'
    if isinstance(part, Links):
        items = (
            f'<li><a href="{markup.escape(path)}">{markup.escape(text)}</a></li>' for text, path in part.to.items()
        )
        return f'<ul class="links">{"".join(items)}</ul>'
    level = len(part) - len(part.lstrip("#"))
    text = markup.escape(part.lstrip("# "))
    return f'<h{level} id="{_anchor(part.lstrip("# "))}">{text}</h{level}>' if level else f"<p>{text}</p>"


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


STAGES = {
    "corpus": "Where the videos come from",
    "extract": "Face tracks and clips",
    "pairs": "Splits and pairs",
    "train": "Base: trained on all positives",
    "filter": "Filter: which positives are believed",
    "retrain": "Refined: trained on what was kept",
}
"""Stage to its heading, in the order in which they run."""


def experiment(reports: Path) -> str:
    """The page of the whole experiment.

    Args:
        reports: the folder with `metrics/*.json`, `figures/*.png` and, where notebooks were executed, `html/*.html`.

    Returns:
        HTML.
    """
    metrics = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (reports / "metrics").glob("*.json")}
    found = metrics["evaluate"]
    refined = found["refined"]
    parts: list[Part] = [
        Picture((reports / "figures" / "result.png").read_bytes(), "accuracy by length, and one clip's distances"),
        "## Base against refined on held-out clips",
        f"K: share of stretches of so many frames that are placed within one frame of the truth, searched over ±15; in "
        f"brackets its 95 % interval over {refined['clips']} clips. AUC: windows at the true shift against all others.",
        comparison(found),
        "## Baseline and control",
        "What mouth aperture and loudness tell without learning, and what a model still finds in another clip's audio.",
        controls(found),
        "## What the filter rejected",
        "Which clips are dubbed or shifted is known for synthetic videos only, and read by no earlier stage.",
        pd.DataFrame.from_dict(found["filter"], orient="index").rename_axis("clips are"),
    ]
    if "extra" in found:
        parts += ["## Further videos", comparison(found["extra"]), controls(found["extra"])]
    for stage, heading in STAGES.items():
        parts += _stage(heading, stage, metrics[stage], reports)
    if executed := sorted((reports / "html").glob("*.html")):
        parts += [
            "## Executed notebooks",
            "Every figure and number with the code that made it.",
            Links({path.stem: f"html/{path.name}" for path in executed}),
        ]
    return page("SyncNet, trained on noisy video and refined by its own verdicts", verdict(found), parts)


def _stage(heading: str, stage: str, metrics: Mapping[str, Any], reports: Path) -> list[Part]:
    """Numbers and figures of one stage."""
    parts: list[Part] = [f"## {heading}"]
    if nested := {name: value for name, value in metrics.items() if isinstance(value, dict)}:
        parts.append(pd.DataFrame.from_dict(nested, orient="index"))
    if figures := {name.replace("_", " "): value for name, value in metrics.items() if not isinstance(value, dict)}:
        parts.append(pd.DataFrame([figures]))
    drawn = sorted((reports / "figures").glob(f"{stage}_*.png"))
    return [*parts, *(Picture(path.read_bytes(), path.stem.replace("_", " ")) for path in drawn)]
