"""Executed notebooks as pages that are read without running anything."""

from pathlib import Path

from syncnet_lib.files import write_bytes
from syncnet_lib.plots.sheet import document

STYLE = """
pre { overflow-x: auto; margin: .5rem 0; font: .85rem/1.45 ui-monospace, monospace; }
.input_area pre { background: var(--panel); padding: .75rem 1rem; border-radius: .4rem; }
.prompt { display: none; } .output_stderr { color: var(--soft); } .anchor-link { display: none; }
table.dataframe { border: 0; margin: 1rem 0; } table.dataframe th, table.dataframe td { border-width: 0 0 1px; }
.output_html, .output_png { overflow-x: auto; } .output_markdown p { margin: .25rem 0 1.5rem; }
@media print { pre { white-space: pre-wrap; } .input_area { break-inside: avoid; } }
"""


def to_html(notebooks: Path, out: Path) -> list[Path]:
    """Write executed notebooks as HTML, each a file that needs nothing beside itself.

    Args:
        notebooks: folder of executed notebooks; those that failed are passed over.
        out: folder of the pages.

    Returns:
        The pages.
    """
    executed = [path for path in sorted(notebooks.glob("*.ipynb")) if not path.stem.endswith(".failed")]
    pages = [out / f"{path.stem}.html" for path in executed]
    for path, page in zip(executed, pages, strict=True):
        write_bytes(page, _html(path).encode())
    return pages


def _html(path: Path) -> str:
    import nbformat
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    notebook = nbformat.read(path, as_version=4)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    light, dark = (
        HtmlFormatter(style=name, nobackground=True).get_style_defs(".highlight") for name in ("xcode", "nord")
    )
    return document(path.stem, body, f"{STYLE}{light}\n@media screen and (prefers-color-scheme: dark) {{ {dark} }}")
