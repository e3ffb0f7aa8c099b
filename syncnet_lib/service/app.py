"""The service's addresses: upload, progress, result, page, cancel.

    POST   /jobs?name=talk.mp4&standard=ebu-r37   the video as the body; gives a `Status`
    GET    /jobs/KEY           a `Status`
    GET    /jobs/KEY/result    a line of `syncnet offset --json`
    GET    /jobs/KEY/report    a page of `syncnet offset --report`
    DELETE /jobs/KEY           ends it, and deletes what there is of it
    GET    /                   the page where a person drops a video

What is refused is a `Failure` as JSON, with the status that HTTP has for it.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from syncnet_lib.errors import InputError, printable
from syncnet_lib.failures import explained
from syncnet_lib.measurement import finding
from syncnet_lib.measurement.result import Failure, Interval, Number, Record, Sureness
from syncnet_lib.measurement.standard import STANDARDS
from syncnet_lib.service import drop
from syncnet_lib.service.jobs import PAGE, RESULT, Job, Jobs

COOKIE = "syncnet"
"""Holds the token in a browser."""
MOST_WAITING = 20
"""Uploads that may wait for a process; more are refused."""
SLOWEST = 10_000
"""Bytes a second of the slowest upload that is taken."""
LOOKED = 60
"""Seconds between two looks for results that are old."""
NAME_LENGTH = 200
READS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
FULL, TOO_LARGE, TOO_SLOW, GONE = 507, 413, 408, 499
"""HTTP statuses: no space on the disk, an upload too large, too slow, and nobody there who could read one."""
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"

State = Literal["waiting", "measuring", "done", "failed"]


@dataclass(frozen=True)
class Rules:
    """What a service takes.

    Attributes:
        token: that must be given; "" for none.
        hosts: names under which it may be asked; empty for any.
        megabytes: largest upload.
        minutes: longest work on a video.
        patience: seconds in which SLOWEST bytes for each must come.
    """

    token: str
    hosts: frozenset[str]
    megabytes: int
    minutes: float
    patience: float


class Status(Record):
    """How far a job is; of what was found the headline."""

    key: str
    name: str
    state: State
    progress: float
    verdict: str = ""
    covered: str = ""
    sureness: Sureness | None = None
    answer: bool = False
    offset_ms: Number | None = None
    offset_interval_ms: Interval | None = None
    compliance: str | None = None
    error: str = ""


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        error: why.
    """

    def __init__(self, status: int, error: InputError) -> None:
        super().__init__(str(error))
        self.status, self.error = status, error


def make(jobs: Callable[[], Jobs], rules: Rules) -> FastAPI:
    """The application.

    Args:
        jobs: starts them; they are closed when the application ends.
        rules: what it takes.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = jobs()
        forgetting = asyncio.create_task(_forget(app.state.jobs))
        try:
            yield
        finally:
            forgetting.cancel()
            app.state.jobs.close()

    app = FastAPI(title="SyncNet", lifespan=life, docs_url=None, redoc_url=None)  # both would load from elsewhere
    app.state.rules = rules
    app.include_router(_pages, dependencies=[Depends(_same_origin)])
    app.include_router(_routes, dependencies=[Depends(_same_origin), Depends(_allowed)])
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(RequestValidationError, _unusable)
    app.add_exception_handler(ClientDisconnect, _gone)
    return app


async def _forget(jobs: Jobs) -> None:
    """Let go of old results, again and again."""
    while True:
        await asyncio.sleep(LOOKED)
        jobs.forget()


def _rules(request: Request) -> Rules:
    rules: Rules = request.app.state.rules
    return rules


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _same_origin(request: Request) -> None:
    """Refuse what another site has a browser ask: under a name of its own for this machine, or from its pages."""
    hosts = _rules(request).hosts
    if hosts and request.url.hostname not in hosts:
        raise Refused(403, InputError(request.url.hostname or "", "is not a name of this service"))
    origin = request.headers.get("origin")
    if origin and request.method not in READS and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, InputError(origin, "another site may not use this service"))


def _allowed(request: Request) -> None:
    """Refuse who does not know the token."""
    if not _knows(request):
        cure = "send it as Authorization: Bearer TOKEN, or open /?token=TOKEN"
        raise Refused(401, InputError("token", "is missing or wrong", cure))


def _knows(request: Request, said: str = "") -> bool:
    token = _rules(request).token
    kind, _, sent = request.headers.get("authorization", "").partition(" ")
    told = (said, request.cookies.get(COOKIE, ""), sent if kind.lower() == "bearer" else "")
    return not token or any(hmac.compare_digest(each.encode(), token.encode()) for each in told)


def _job(key: str, jobs: Annotated[Jobs, Depends(_jobs)]) -> Job:
    found = jobs.find(key)
    if found is None:
        raise Refused(404, InputError(key, "no such job", "results are kept for an hour"))
    return found


_pages, _routes = APIRouter(), APIRouter()


@_pages.get("/", include_in_schema=False)
async def home(request: Request, token: str = "") -> Response:
    """The page, or a question for the token; a right one becomes a cookie, so that it leaves the address."""
    if not _knows(request, token):
        return HTMLResponse(drop.asking(), 401, SAFE | {"Content-Security-Policy": drop.POLICY})
    if token:
        answer: Response = RedirectResponse("/", 303, SAFE)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return answer
    rules = _rules(request)
    page = drop.page(rules.megabytes, rules.minutes)
    return HTMLResponse(page, headers=SAFE | {"Content-Security-Policy": drop.POLICY})


@_routes.post("/jobs", status_code=201)
async def upload(
    request: Request,
    jobs: Annotated[Jobs, Depends(_jobs)],
    name: Annotated[str, Query(max_length=NAME_LENGTH, description="of the video")] = "video",
    standard: Annotated[str, Query(description=", ".join(STANDARDS))] = "",
) -> Status:
    """Take a video, the body of the request, and measure it."""
    name = Path(printable(name)).name or "video"
    if standard and standard not in STANDARDS:
        raise Refused(422, InputError(standard, "no such standard", f"use {', '.join(STANDARDS)}"))
    if sum(job.waits for job in jobs) >= MOST_WAITING:
        raise Refused(503, InputError(name, f"{MOST_WAITING} videos wait already", "try again later"))
    try:
        with jobs.place(name) as video:
            await _receive(request, video, name)
    except OSError as error:
        told = explained(error, name)
        raise Refused(FULL, InputError(name, told.cause, "free some space, and send it again")) from None
    return _status(jobs.add(video, name, STANDARDS.get(standard)))


async def _receive(request: Request, video: Path, name: str) -> None:
    """Write the body of a request to a file."""
    rules = _rules(request)
    most = rules.megabytes * 10**6
    large = Refused(TOO_LARGE, InputError(name, f"is larger than {rules.megabytes} MB", "send a shorter one"))
    if int(request.headers.get("content-length", 0)) > most:
        raise large
    chunks = request.stream()
    size = 0
    with video.open("wb") as file:
        while True:
            try:
                block = await asyncio.wait_for(_block(chunks, round(SLOWEST * rules.patience)), rules.patience)
            except TimeoutError:
                cause = f"came too slowly: less than {SLOWEST // 1000} kB a second for {rules.patience:g} s"
                raise Refused(TOO_SLOW, InputError(name, cause, "send it again")) from None
            size += len(block)
            if size > most:
                raise large
            if not block:
                return
            await asyncio.to_thread(file.write, block)


async def _block(chunks: AsyncIterator[bytes], size: int) -> bytes:
    """The next bytes of a body, at least `size` of them unless it ends."""
    block = bytearray()
    async for chunk in chunks:
        block += chunk
        if len(block) >= size:
            break
    return bytes(block)


@_routes.get("/jobs/{key}")
async def status(job: Annotated[Job, Depends(_job)]) -> Status:
    """How far a job is."""
    return _status(job)


@_routes.get("/jobs/{key}/result")
async def result(job: Annotated[Job, Depends(_job)]) -> Response:
    """The result as `syncnet offset --json` has it; 422 where the video cannot be measured."""
    return _made(job, RESULT, "application/json")


@_routes.get("/jobs/{key}/report")
async def report(job: Annotated[Job, Depends(_job)]) -> Response:
    """The page to send."""
    return _made(job, PAGE, "text/html; charset=utf-8")


@_routes.delete("/jobs/{key}", status_code=204)
async def cancel(job: Annotated[Job, Depends(_job)], jobs: Annotated[Jobs, Depends(_jobs)]) -> None:
    """End a job, and delete what there is of it."""
    await jobs.remove(job.key)


def _made(job: Job, name: str, kind: str) -> Response:
    outcome = job.outcome()
    if outcome is None:
        raise Refused(409, InputError(job.name, "is not measured yet", f"ask for /jobs/{job.key} until it is"))
    if isinstance(outcome, Failure):
        raise Refused(422, InputError(job.name, outcome.error, outcome.cure))
    return FileResponse(job.folder / name, media_type=kind, headers=SAFE | {"Content-Security-Policy": REPORT_POLICY})


def _status(job: Job) -> Status:
    outcome = job.outcome()
    common: dict[str, Any] = {"key": job.key, "name": job.name, "progress": job.progress}
    if outcome is None:
        return Status(state="waiting" if job.waits else "measuring", **common)
    if isinstance(outcome, Failure):
        return Status(state="failed", error=str(outcome), **common)
    return Status(
        state="done",
        verdict=outcome.verdict,
        covered=finding.covered(outcome),
        sureness=outcome.sureness,
        answer=finding.is_answer(outcome),
        offset_ms=outcome.offset_ms,
        offset_interval_ms=outcome.offset_interval_ms,
        compliance=outcome.compliance,
        **common,
    )


def _said(status: int, where: str, cause: str, cure: str = "") -> JSONResponse:
    return JSONResponse(Failure(path=where, error=cause, cure=cure).model_dump(), status, SAFE)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _said(error.status, error.error.where, error.error.cause, error.error.cure)


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _said(error.status_code, request.url.path, error.detail.lower())


async def _unusable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _said(422, str(first["loc"][-1]), str(first["msg"]).lower())


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=GONE)
