"""Figures and tables on one self-contained HTML page."""

import base64
import html as markup
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from syncnet_lib.plots.tables import comparison, controls


def png(figure: Figure) -> bytes:
    """A figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .3rem .8rem; text-align: right; }
th { border-bottom: 2px solid #1b7f79; } td { border-bottom: 1px solid #ddd; }
img { max-width: 100%; } figure { margin: 2rem 0; } .big { font-size: 1.2rem; }
"""


def page(title: str, parts: Sequence[str | pd.DataFrame | bytes]) -> str:
    """A page that needs nothing beside itself.

    Args:
        title: of the page.
        parts: headings and paragraphs as text (a first "# " or "## " makes a heading), tables, and PNG pictures.

    Returns:
        HTML.
    """
    body = []
    for part in parts:
        if isinstance(part, bytes):
            source = base64.b64encode(part).decode()
            body.append(f'<figure><img alt="" src="data:image/png;base64,{source}"></figure>')
        elif isinstance(part, pd.DataFrame):
            body.append(part.to_html(border=0, float_format=lambda value: f"{value:g}"))
        else:
            level = len(part) - len(part.lstrip("#"))
            tag = f"h{level}" if level else "p"
            body.append(f"<{tag}>{markup.escape(part.lstrip('# '))}</{tag}>")
    head = f'<meta charset="utf-8"><title>{markup.escape(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def experiment(reports: Path) -> str:
    """The page of the whole experiment.

    Args:
        reports: the folder with `metrics/*.json` and `figures/*.png`.

    Returns:
        HTML.
    """
    metrics = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (reports / "metrics").glob("*.json")}
    result = metrics["evaluate"]
    parts: list[str | pd.DataFrame | bytes] = [
        "# SyncNet: trained on noisy video, refined by its own verdicts",
        "## Base against refined on held-out clips",
        comparison(result),
        (reports / "figures" / "result.png").read_bytes(),
        "## Against no learning, and against swapped sound",
        controls(result),
        "## What the filter threw out",
        pd.DataFrame.from_dict(result["filter"], orient="index"),
    ]
    if "extra" in result:
        parts += ["## Further videos", comparison(result["extra"]), controls(result["extra"])]
    for stage in ("corpus", "extract", "pairs", "train", "filter", "retrain"):
        figures = {key: value for key, value in metrics[stage].items() if not isinstance(value, dict)}
        nested = {key: value for key, value in metrics[stage].items() if isinstance(value, dict)}
        parts.append(f"## Stage: {stage}")
        if nested:
            parts.append(pd.DataFrame.from_dict(nested, orient="index"))
        if figures:
            parts.append(pd.DataFrame({"value": figures}))
        parts += [path.read_bytes() for path in sorted((reports / "figures").glob(f"{stage}_*.png"))]
    return page("SyncNet experiment", parts)
