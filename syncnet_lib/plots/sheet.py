"""The look of all pages: light and dark, for a phone, a screen and paper; needs no package that draws."""

import html

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
.flow { list-style: none; padding: 0; margin: 1rem 0; display: grid; gap: .75rem 1.5rem;
        grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); counter-reset: step; }
.flow li { counter-increment: step; padding: .6rem .9rem; background: var(--panel); border-radius: .4rem;
           font-size: .92rem; }
.flow b { display: block; color: var(--accent); } .flow b::before { content: counter(step) ". "; }
.reel { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); }
.reel figure { margin: 0; } .reel figcaption { font-size: .9rem; line-height: 1.4; padding-top: .4rem; }
video { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: #000; border-radius: .4rem; display: block; }
@media screen and (max-width: 45rem) { figure img { max-width: none; width: 44rem; } }
@media print {
  :root { --text: #000; --ground: #fff; --panel: #f4f6f8; --line: #ccc; --soft: #444; --accent: #1b7f79; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } nav { display: none; }
  h2, h3 { break-after: avoid; } table, tr, figure, .lead { break-inside: avoid; } .wide { overflow: visible; }
  th, td { white-space: normal; padding: .2rem .4rem; }
}
"""


def document(title: str, body: str, style: str = "") -> str:
    """A whole HTML file around a body, in the look of all pages.

    Args:
        title: text.
        body: HTML.
        style: CSS beside `STYLE`.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}{style}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'
