"""The page where a person drops a video, watches how far it is, and sees the report."""

import base64
import hashlib
from pathlib import Path

from syncnet_lib.measurement.standard import STANDARDS
from syncnet_lib.plots import sheet

TITLE = "Are lips and sound in sync?"
_HERE = Path(__file__).parent
_STYLE, _SCRIPT = ((_HERE / f"drop.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
POLICY = (
    "default-src 'none'; connect-src 'self'; frame-src 'self'; img-src data:; style-src 'unsafe-inline'; "
    f"form-action 'self'; frame-ancestors 'none'; script-src 'sha256-{_DIGEST}'"
)
"""What a browser may load for the page: itself, and what this service answers."""


def page(megabytes: int, minutes: float) -> str:
    """The page as HTML.

    Args:
        megabytes: largest upload.
        minutes: longest work on a video.
    """
    standards = "".join(f'<option value="{name}">{each.name}</option>' for name, each in STANDARDS.items())
    body = f"""
<header><h1>{TITLE}</h1>
<p>Drop a video of a talking face. It is measured by how much the sound is ahead of the lips, or behind.</p></header>
<main>
<label id=drop data-megabytes={megabytes}>
<input type=file id=files accept="video/*,.mkv,.mxf,.ts,.m2ts" multiple>
<svg viewBox="0 0 64 40" aria-hidden=true><path d="M2 20h6l4-12 6 26 6-32 6 36 5-24 4 6h4"/><path class=lips
d="M45 20c3-5 6-6 8-4 2-2 5-1 8 4-4 6-12 6-16 0zm0 0h16"/></svg>
<strong>Drop videos here</strong><span>or choose files</span></label>
<p class=options><label>Hold against
<select id=standard><option value="">no standard</option>{standards}</select></label>
<span>At most {megabytes:,} MB, and {minutes:g} minutes of work. A video is deleted as soon as it is measured, its
result after an hour.</span></p>
<div id=jobs aria-live=polite></div>
</main>
<template id=job><article>
<div class=row><h2></h2><span class=state></span><button type=button class=end></button></div>
<progress max=1 value=0></progress>
<p class=verdict hidden></p>
<p class=more hidden><a class=page target=_blank rel=noopener>Report in a tab of its own</a>
<a class=json target=_blank rel=noopener>Result as JSON</a></p>
<details hidden><summary>Report</summary><iframe title=report sandbox="allow-same-origin"></iframe></details>
</article></template>
<script>{_SCRIPT}</script>"""
    return sheet.document(TITLE, body, _STYLE)


def asking() -> str:
    """The page that asks for the token."""
    field = "<input name=token type=password autocomplete=current-password required autofocus>"
    form = f"<form class=token><label>Token {field}</label><button>Open</button></form>"
    said = "<p>This service answers who knows its token; whoever runs it has it.</p>"
    return sheet.document(TITLE, f"<h1>{TITLE}</h1>{said}{form}", _STYLE)
