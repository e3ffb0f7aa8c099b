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

from syncnet_lib.plots.sheet import document
from syncnet_lib.plots.tables import calibration, comparison, controls, verdict


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


@dataclass(frozen=True)
class Flow:
    """What follows what: a name and a few words each."""

    steps: Mapping[str, str]


@dataclass(frozen=True)
class Film:
    """A short video with its sound.

    Attributes:
        mp4: its bytes.
        poster: the JPEG that is seen before it plays, and on paper.
        title, says: what it is, in two lines.
    """

    mp4: bytes
    poster: bytes
    title: str
    says: str


Part: TypeAlias = str | pd.DataFrame | Picture | Links | Flow | Sequence[Film]


def page(title: str, lead: str, parts: Sequence[Part]) -> str:
    """A page that needs nothing beside itself: light and dark, for a phone, a screen and paper.

    Args:
        title: of the page.
        lead: the finding in words, which comes first.
        parts: headings ("## " or "### ") and paragraphs as text, tables, pictures, links, a flow, films side by side.
            The second-level headings are also the table of contents.

    Returns:
        HTML.
    """
    chapters = [part[3:] for part in parts if isinstance(part, str) and part.startswith("## ")]
    contents = "".join(f'<li><a href="#{_anchor(name)}">{markup.escape(name)}</a></li>' for name in chapters)
    body = f'<h1>{markup.escape(title)}</h1><p class="lead">{markup.escape(lead)}</p><nav><ul>{contents}</ul></nav>'
    return document(title, body + "".join(_html(part) for part in parts))


def _html(part: Part) -> str:
    if isinstance(part, Picture):
        source = base64.b64encode(part.png).decode()
        return f'<figure><img alt="{markup.escape(part.says)}" src="data:image/png;base64,{source}"></figure>'
    if isinstance(part, pd.DataFrame):
        named = part if isinstance(part.index, pd.RangeIndex) else part.rename_axis(part.index.name or "").reset_index()
        said = named.rename(columns=lambda name: str(name).replace("_", " "))
        return f'<div class="wide">{said.to_html(index=False, border=0, float_format="{:.4g}".format)}</div>'
    if isinstance(part, Flow):
        steps = (f"<li><b>{markup.escape(name)}</b>{markup.escape(text)}</li>" for name, text in part.steps.items())
        return f'<ol class="flow">{"".join(steps)}</ol>'
    if isinstance(part, Links):
        items = (
            f'<li><a href="{markup.escape(path)}">{markup.escape(text)}</a></li>' for text, path in part.to.items()
        )
        return f'<ul class="links">{"".join(items)}</ul>'
    if not isinstance(part, str):
        return f'<div class="reel">{"".join(map(_film, part))}</div>'
    level = len(part) - len(part.lstrip("#"))
    text = markup.escape(part.lstrip("# "))
    return f'<h{level} id="{_anchor(part.lstrip("# "))}">{text}</h{level}>' if level else f"<p>{text}</p>"


def _film(film: Film) -> str:
    source, poster = (base64.b64encode(content).decode() for content in (film.mp4, film.poster))
    title, says = markup.escape(film.title), markup.escape(film.says)
    return (
        f'<figure><video controls loop playsinline preload="none" poster="data:image/jpeg;base64,{poster}" '
        f'src="data:video/mp4;base64,{source}"></video>'
        f"<figcaption><b>{title}</b><br>{says}</figcaption></figure>"
    )


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


STAGES = {
    "train": "Base: trained on all positives",
    "filter": "Filter: which positives are believed",
    "retrain": "Refined: trained on what was kept",
}
"""Stages whose figures are shown, and their headings, in the order in which they run."""


def experiment(reports: Path, flow: Mapping[str, str], films: Sequence[Film], about: Mapping[str, str]) -> str:
    """The page of the whole experiment.

    Args:
        reports: the folder with `metrics/*.json`, `figures/` (`result.png`, a folder a stage) and, where notebooks were
            executed, `html/*.html`.
        flow: what each stage made of what, in the order in which they ran.
        films: clips with their verdicts; none where they are too long to be sent.
        about: what the experiment was run with.

    Returns:
        HTML.
    """
    metrics = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (reports / "metrics").glob("*.json")}
    found = metrics["evaluate"]
    refined = found["refined"]
    counts = ["clips", "windows"]
    parts: list[Part] = [
        Picture((reports / "figures" / "result.png").read_bytes(), "accuracy by length, and one clip's distances"),
        "## How it was obtained",
        Flow(flow),
    ]
    if films:
        parts += [
            "## Clips and what the filter says of them",
            "With the sound they came with. What is left out fits at no offset that the network is sure of.",
            films,
        ]
    parts += [
        "## Base against refined on held-out clips",
        f"K: share of stretches of so many frames that are placed within one frame of the truth, searched over ±15; "
        f"in brackets its 95 % interval over {refined['clips']} clips. AUC: {refined['windows']} windows at the "
        f"true shift against all others.",
        comparison(found).drop(columns=counts),
        "## Baseline and control",
        "What mouth aperture and loudness tell without learning, and what a model still finds in another clip's audio.",
        controls(found),
        "## What a confidence is worth",
        "The confidence from which 95 % of the refined model's answers are right, by seconds of speech of a talker.",
        calibration(found["calibration"]),
        "## What the filter rejected",
        "Which clips are dubbed or shifted is known for synthetic videos only, and read by no earlier stage.",
        pd.DataFrame.from_dict(found["filter"], orient="index").rename_axis("clips are"),
    ]
    if "extra" in found:
        parts += ["## Further videos", comparison(found["extra"]).drop(columns=counts), controls(found["extra"])]
    for stage, heading in STAGES.items():
        parts += _stage(heading, stage, metrics[stage], reports)
    parts += ["## What it was run with", pd.DataFrame({"": about.keys(), " ": about.values()})]
    if executed := sorted((reports / "html").glob("*.html")):
        parts += [
            "## Executed notebooks",
            "Every figure and number with the code that made it; evaluate has the clips on which the network is worst.",
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
    drawn = sorted((reports / "figures" / stage).glob("*.png"))
    return [*parts, *(Picture(path.read_bytes(), f"{stage} {path.stem}") for path in drawn)]
