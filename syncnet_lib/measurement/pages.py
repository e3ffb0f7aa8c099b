"""Results as pages to send: one HTML file a video, which needs nothing beside itself, and an index of a batch."""

import base64
import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import cv2

from syncnet_lib import files
from syncnet_lib.measurement import charts, finding, report
from syncnet_lib.measurement.report import Event
from syncnet_lib.measurement.result import Failure, Result
from syncnet_lib.media import decode
from syncnet_lib.media.clock import FPS
from syncnet_lib.plots import sheet

UNSURE = "Whether lips and sound are in sync cannot be told"
"""Title of a page without an answer."""
PICTURE_WIDTH = 256
"""Pixels of a picture of an event."""
STYLE, SORT = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("pages.css", "pages.js"))
WORST = ("out", "error", "unsure", "in")
"""What an index shows first."""


def write_page(path: Path | None, out: Path, result: Result) -> None:
    """Write the page of a video.

    Args:
        path: the video, from which the pictures come; None for a page without.
        out: an HTML file.
        result: of it.
    """
    spans = [(each.segment.start_s, each.segment.end_s) for each in report.events(result)]
    shown = _pictures(path, [int(min(start + 1, (start + end) / 2) * FPS) for start, end in spans])
    files.write_bytes(out, video_page(result, shown).encode())


def video_page(result: Result, pictures: Sequence[bytes]) -> str:
    """The page of a video as HTML.

    Args:
        result: of it.
        pictures: a JPEG for each of its events, or empty.
    """
    name, sure = Path(result.path).name, result.sureness == "sure"
    title = report.headline(result) if sure else UNSURE
    found = report.events(result)
    body = [
        f"<header><p class=file>{_text(_named(result))}</p><h1>{_text(title)}</h1>",
        f"<p class=said>{_badge(report.gate(result), report.label(result))} {_text(_rule(result))}</p></header>",
        _advice(result),
        f"<dl class=tiles>{''.join(_tile(*each) for each in _facts(result))}</dl>",
        _notes(result.warnings),
        "<h2>Over time</h2>", charts.offsets(result),
        "<p class=small>The line is the answer with its 95 % interval; a dot is what 4 s say by themselves.</p>",
        '<div class=beside>', _clear(result), charts.confidences(result), "</div>",
        f"<h2>{'Parts' if len(found) > 1 else 'What was seen'}</h2>",
        f"<ol class=events>{''.join(_event(*each) for each in zip(found, pictures, strict=True))}</ol>",
        "<h2>Faces</h2>", _faces(result),
        "<h2>Measured with</h2>", _settings(result),
    ]  # fmt: skip
    return sheet.document(f"{name}: {title}", "".join(body), STYLE)


def index_page(outcomes: Iterable[tuple[Result | Failure, str]]) -> str:
    """The index of a batch: a row a video with the name of its page, worst first, sortable by each column."""
    found = list(outcomes)
    kinds = ["error" if isinstance(each, Failure) else report.gate(each) for each, _ in found]
    labels = ["error" if isinstance(each, Failure) else report.label(each) for each, _ in found]
    results = [each for each, _ in found if isinstance(each, Result)]
    rule = next((each.limits.name for each in results if each.limits is not None), "")
    folders = len({Path(each.path).parent for each, _ in found}) > 1
    rows = [
        (WORST.index(kind), _row(outcome, page, kind, label, folders))
        for (outcome, page), kind, label in zip(found, kinds, labels, strict=True)
    ]
    rows.sort(key=lambda row: row[0])
    count = Counter(zip(kinds, labels, strict=True))
    badges = " ".join(_badge(kind, f"{count[kind, label]} {label}") for kind, label in sorted(count, key=_rank))
    heads = "".join(f"<th><button type=button>{each}</button></th>" for each in _heads(rule))
    title = _counted(kinds, rule)
    body = f"""<header><p class=file>Sound against lips</p><h1>{_text(title)}</h1><p class=said>{badges}</p></header>
<p class=small>A column's name sorts by it. In brackets: no answer for the whole. Beside it ±{charts.STRIP_MS:g} ms,
shaded what is allowed.</p><table class=index><thead><tr>{heads}</tr></thead>
<tbody>{"".join(row for _, row in rows)}</tbody></table><script>{SORT}</script>"""
    return sheet.document(title, body, STYLE)


def _heads(rule: str) -> Sequence[str]:
    return html.escape(rule or "sync"), "file", "finding", "ms", "confidence", "pattern", "speech judged"


def _rank(kind: tuple[str, str]) -> int:
    return WORST.index(kind[0])


def _counted(kinds: Sequence[str], rule: str) -> str:
    """The finding of a batch."""
    total, bad, good = len(kinds), kinds.count("out"), kinds.count("in")
    one, several = (f"fails {rule}", f"fail {rule}") if rule else ("is out of sync", "are out of sync")
    if bad:
        return f"{bad} of {total} videos {one if bad == 1 else several}" if total > 1 else f"The video {one}"
    if good == total:
        one, several = (f"meets {rule}", f"meet {rule}") if rule else ("is in sync", "are in sync")
        return f"All {total} videos {several}" if total > 1 else f"The video {one}"
    return f"{total - good} of {total} videos cannot be told, none {one}"


def _row(outcome: Result | Failure, page: str, kind: str, label: str, folders: bool) -> str:
    """A row of an index."""
    path = Path(outcome.path)
    place = f"<small>{_text(str(path.parent))}</small>" if folders else ""
    if isinstance(outcome, Failure):
        name, said = _text(path.name), report.failed(outcome)
        cells: list[tuple[str, str, str]] = [("", "", "")] * 4
    else:
        name = f'<a href="{quote(page)}">{_text(_named(outcome))}</a>'
        said, covered = report.headline(outcome), outcome.coverage
        cells = [
            ("number", _ms(outcome) + charts.strip(outcome), f"{outcome.offset_ms:.3f}"),
            ("number", f"{outcome.confidence:.3g}", ""),
            ("pattern", report.pattern(outcome), ""),
            ("number", f"{covered.judged_s:.1f} of {covered.speech_s:.1f} s", f"{covered.judged_s}"),
        ]
    first = [
        ("", _badge(kind, label), str(WORST.index(kind))),
        ("name", name + place, outcome.path),
        ("words", _text(said), said),
    ]
    made = "".join(f'<td class="{css}"{_key(key)}>{content}</td>' for css, content, key in [*first, *cells])
    return f"<tr>{made}</tr>"


def _named(result: Result) -> str:
    """The name of a video, with the audio track that was asked for."""
    track = result.settings.get("audio_track")
    return Path(result.path).name + (f", audio track {track}" if track else "")


def _rule(result: Result) -> str:
    limits = result.limits
    return "" if limits is None else f"{limits.name}: +{limits.early_ms:g} to -{limits.late_ms:g} ms"


def _ms(result: Result) -> str:
    """The offset with half its interval, in brackets where it is no answer."""
    low, high = result.offset_interval_ms
    ms = round(result.offset_ms)
    said = f"{ms:+d}" if ms else "0"
    said = f"{said} ±{max(1, round((high - low) / 2))}"
    return _text(said if finding.is_answer(result) else f"({said})")


def _facts(result: Result) -> list[tuple[str, str, str]]:
    """Name, value and detail of what was found."""
    low, high = result.offset_interval_ms
    answer = finding.is_answer(result)
    ms = f"{result.offset_ms:+.1f} ms"
    threshold = result.model.threshold
    need = result.meaning if threshold is None else f"{result.meaning}; threshold {threshold:.3g}"
    covered = result.coverage
    rest = "; ".join(f"{each.seconds:.1f} s: {each.reason}" for each in covered.unjudged)
    pictures = f"{result.offset_file_frames:+.2f} pictures at {result.frame_rate:g} a second"
    facts = [
        (
            "Offset",
            *(_extent(result) or (ms if answer else f"({ms})", f"95 %: {low:+.1f} to {high:+.1f} ms; {pictures}")),
        ),
        ("Pattern", report.pattern(result), f"{len(result.segments)} part" + "s" * (len(result.segments) > 1)),
        ("Confidence", f"{result.confidence:.3g}", need),
        ("Speech", f"{covered.judged_s:.1f} of {covered.speech_s:.1f} s", "judged" + (f"; {rest}" if rest else "")),
    ]
    if drift := finding.significant(result.drift):
        span = f"95 %: {drift.ppm_low:+.0f} to {drift.ppm_high:+.0f}; {drift.frames_per_minute:+.2f} frames a minute"
        facts.insert(1, ("Drift", f"{drift.ppm:+.0f} ppm", span))
    return facts


def _extent(result: Result) -> tuple[str, str] | None:
    """Where no single offset answers: lowest and highest of the parts, or of the drift; None elsewhere."""
    if result.sureness != "sure" or finding.is_answer(result):
        return None
    values = [each.offset_ms for each in result.segments]
    values = [ms for each in result.segments for _, ms in finding.line(result, each) or ()] or values
    said = f"{min(values):+.0f} to {max(values):+.0f} ms"
    return said, "no single offset answers for the whole"


def _tile(name: str, value: str, detail: str) -> str:
    return f"<div><dt>{name}</dt><dd>{_text(value)}<small>{_text(detail)}</small></dd></div>"


def _advice(result: Result) -> str:
    """Why nothing is claimed, and what to do."""
    told = report.advice(result)
    if told is None:
        return ""
    why = "" if result.sureness == "sure" else f"<b>{_text(report.headline(result))}</b><br>"
    command = f"<code>{html.escape(told.command)}</code>" if told.command else ""
    return f"<p class=advice>{why}{_text(told.text)}{command}</p>"


def _notes(texts: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(each)}</li>" for each in texts)
    return f"<ul class=notes>{items}</ul>" if items else ""


def _clear(result: Result) -> str:
    """How clear the answer is."""
    drawn = charts.distances(result)
    says = "One deep dip is a clear answer; where it is flat or has several, none is claimed."
    return f"<div>{drawn}<p class=small>{says}</p></div>" if drawn else ""


def _event(event: Event, picture: bytes) -> str:
    """A part of a video."""
    each = event.segment
    span = f"{each.start_timecode} - {each.end_timecode}".replace("-", "\N{EN DASH}")
    source = base64.b64encode(picture).decode()
    image = f'<img alt="picture near {each.start_timecode}" src="data:image/jpeg;base64,{source}">' if source else ""
    low, high = each.offset_interval_ms
    told = event.gate != "unsure"
    ms = f"{each.offset_ms:+.0f} ms ({low:+.0f} to {high:+.0f})"
    badge = _badge(event.gate, each.compliance or report.LABELS[event.gate])
    figures = f"{ms if told else f'best guess {ms}'}, confidence {each.confidence:.3g}"
    said = f"<p>{_text(event.says[:1].upper() + event.says[1:])}</p>" if told else ""  # else it stands above already
    return f"<li>{image}<div>{badge} <b>{span}</b>{said}<p class=small>{_text(figures)}</p></div></li>"


def _faces(result: Result) -> str:
    heads = "".join(f"<th>{each}</th>" for each in ("face", "from", "to", "speaks", "ms", "confidence"))
    rows = [
        (str(each.track), charts.clock(each.start_s), charts.clock(each.end_s), "yes" if each.speaking else "no",
         f"{each.offset_ms:+.0f}", f"{each.confidence:.3g}")
        for each in result.tracks
    ]  # fmt: skip
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class=faces><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _settings(result: Result) -> str:
    """What a measurement depends on, to be done again."""
    pairs = [
        ("network", f"{result.model.name}, checkpoint {result.model.checkpoint}"),
        ("SHA-256", result.model.sha256),
        ("pictures", f"{result.frames_used} of {result.frames_in_file} decoded"),
        *((key.replace("_", " "), str(value)) for key, value in result.settings.items() if value != ""),
    ]
    return (
        "<dl class=settings>"
        + "".join(f"<div><dt>{_text(key)}</dt><dd>{_text(value)}</dd></div>" for key, value in pairs)
        + "</dl>"
    )


def _badge(kind: str, label: str) -> str:
    return f'<span class="badge {kind}">{html.escape(label)}</span>'


def _key(value: str) -> str:
    return f' data-key="{html.escape(value)}"' if value else ""


def _text(text: str) -> str:
    """Text as HTML, with minus signs before numbers, and options of the command in one piece."""
    minus = re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)
    return re.sub(r"--\w[\w-]*", r"<span class=option>\g<0></span>", html.escape(minus))


def _pictures(path: Path | None, frames: Sequence[int]) -> list[bytes]:
    """JPEGs of frames in ascending order; empty where the video has none."""
    if path is None or path.is_dir():
        return [b""] * len(frames)
    found = []
    waiting = list(frames)
    for number, picture in enumerate(decode.pictures(path)):
        while waiting and number == waiting[0]:
            waiting.pop(0)
            pixels = picture.rgb
            size = PICTURE_WIDTH, max(1, round(PICTURE_WIDTH * pixels.shape[0] / pixels.shape[1]))
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            found.append(cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes())
        if not waiting:
            break
    return found + [b""] * len(waiting)
