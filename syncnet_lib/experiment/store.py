"""The tracking store: a file of this project or a team's server, and whether it answers."""

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from syncnet_lib.errors import InputError
from syncnet_lib.experiment.outbox import Undelivered

if TYPE_CHECKING:
    from mlflow import MlflowClient

PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
"""Where a server listens whose address names no port."""
CONNECT = 5.0
"""Seconds within which it has to accept a connection."""


def uri(root: Path) -> str:
    """URI of the MLflow store: MLFLOW_TRACKING_URI, or a sqlite file at the root, whatever the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"


def client_of(root: Path) -> "MlflowClient":
    """MLflow's client of the store of a project."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Seven retries, each waiting twice as long, would hold up a training for minutes: what fails is kept (`outbox`).
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    # Making the database is told in a dozen lines, once, which look like something went wrong.
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)  # a lost server is told once, not by a thread
    return mlflow.MlflowClient(tracking_uri=uri(root), registry_uri=uri(root))


@contextmanager
def answering(root: Path) -> Iterator[None]:
    """A store that does not answer, or refuses, as the one line that a user reads.

    Raises:
        InputError: it did.
    """
    from mlflow.exceptions import MlflowException

    try:
        reach(root)
        yield
    except (Undelivered, MlflowException) as error:
        cause = str(error).strip().partition("\n")[0]
        cure = "see the log of the server"
        if isinstance(error, Undelivered):
            cure = "start the server, or unset MLFLOW_TRACKING_URI"
        if uri(root).startswith("sqlite:"):
            cure = "close what holds it, e.g. another program that has it open, and run again"
        raise InputError(shown(root), cause, cure) from error


def reach(root: Path) -> None:
    """Make sure in seconds that somebody listens at the store's address, for which MLflow takes minutes.

    Raises:
        Undelivered: nobody does.
    """
    address = urlsplit(uri(root))
    if not address.hostname:
        return
    try:
        port = address.port or PORTS[address.scheme.partition("+")[0]]  # "postgresql+psycopg2" names a driver as well
        socket.create_connection((address.hostname, port), timeout=CONNECT).close()
    except (OSError, KeyError) as error:
        raise Undelivered(f"no tracking server answers there ({error})") from None


def shown(root: Path) -> str:
    """The store's address without a password."""
    return re.sub(r"//[^/@]*@", "//", uri(root))


def flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers as MLflow names them: those of a mapping inside another have both names, joined by a slash."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        elif not isinstance(value, str) and value is not None:
            yield prefix + name, float(value)
