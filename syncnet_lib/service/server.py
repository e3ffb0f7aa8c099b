"""The service on a port: refused before anything starts where it would be open to others, or the port is taken."""

import errno
import ipaddress
import socket
from urllib.parse import quote

import uvicorn

from syncnet_lib import parallel
from syncnet_lib.errors import InputError
from syncnet_lib.measurement import batch, checkpoints
from syncnet_lib.service import app
from syncnet_lib.service.jobs import Jobs

AT_HOME = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine for itself."""
MOST_AT_ONCE = 200
"""Connections; more are answered with 503."""
LEAST_TOKEN = 16
"""Characters of a token."""


def serve(
    host: str,
    port: int,
    token: str,
    options: batch.Options,
    workers: int | None,
    megabytes: int,
    minutes: float,
    patience: float,
) -> None:
    """Answer requests until this process is told to end.

    Args:
        host, port: where; port 0 for a free one.
        token: that whoever asks must know; needed where other machines reach the host.
        options: what all videos are measured with.
        workers: processes; None for one a core.
        megabytes, minutes, patience: as for `app.Rules`.

    Raises:
        InputError: no token where one is needed, a port that is taken, no such host or checkpoint.
    """
    checkpoints.crop(options.checkpoint)  # which says where there is none
    place = _address(host, port)
    alone = ipaddress.ip_address(place[1][0].partition("%")[0]).is_loopback
    if not alone and len(token) < LEAST_TOKEN:
        cause = f"can be reached from other machines, which asks for a token of {LEAST_TOKEN} characters"
        raise InputError(host, cause, "set SYNCNET_TOKEN")
    with _bound(host, port, *place) as listening:
        port = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{port}/"
        print(f"drop videos at {address}{f'?token={quote(token)}' if token else ''} (Ctrl-C ends it)", flush=True)
        rules = app.Rules(token, AT_HOME | {host} if alone else frozenset(), megabytes, minutes, patience)
        made = app.make(lambda: Jobs(options, workers or parallel.cores(), minutes * 60), rules)
        config = uvicorn.Config(
            made,
            log_level="warning",
            limit_concurrency=MOST_AT_ONCE,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        uvicorn.Server(config).run([listening])


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The family and the number of a host."""
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(host, f"is no host of this machine ({error.strerror})", "give --host 127.0.0.1") from None
    return family, (str(found[0]), port)


def _bound(host: str, port: int, family: socket.AddressFamily, place: tuple[str, int]) -> socket.socket:
    """A socket that listens."""
    try:
        return socket.create_server(place, family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port}", "is taken", f"give another one: --port {port + 1}") from None
        raise InputError(
            f"{host}:{port}", f"cannot be used: {error.strerror}", "give another --host or --port"
        ) from None
