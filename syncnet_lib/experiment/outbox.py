"""What the tracking store did not take, kept on disk until it does: a training does not end with a server."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from syncnet_lib.files import atomic, locked, remove

RETRY = 30.0
"""Seconds after a failure before another attempt: a dead server must not slow every epoch down."""

Send = Callable[[Mapping[str, Any], Path | None], None]
"""Delivers a record and its file or folder, if it has one; raises `Undelivered` where the store does not answer."""


class Undelivered(Exception):
    """The store did not answer, or was locked; nothing is wrong with the record itself."""


class Outbox:
    """The records of a run on their way to the store, in order.

    Args:
        folder: for those that could not be delivered; made when there is one, removed when there is none left.
        send: delivers one.
    """

    def __init__(self, folder: Path, send: Send) -> None:
        self.folder = folder
        self._send = send
        self._failed: float | None = None

    def post(self, record: Mapping[str, Any], file: Path | None = None) -> None:
        """Deliver a record, or keep it.

        Args:
            record: plain values that JSON can hold.
            file: a file or folder that goes with it; a copy is kept with a record that is not delivered.
        """
        if not self.folder.exists():
            try:
                self._send(record, file)
                return
            except Undelivered as error:
                self._failed = time.monotonic()
                told = f"the record of this run is not taken: {error}; it is kept in {self.folder} until it is"
                print(f"warning: {told}", file=sys.stderr)
        place = self.folder / f"{time.time_ns():020d}"
        with atomic(place) as temporary:
            temporary.mkdir()
            (temporary / "record.json").write_text(json.dumps(record))
            if file and file.is_dir():
                shutil.copytree(file, temporary / "file" / file.name)
            elif file:
                (temporary / "file").mkdir()
                shutil.copy2(file, temporary / "file")
        if self._failed is None or time.monotonic() - self._failed > RETRY:
            self.deliver()

    def deliver(self) -> None:
        """Deliver what is kept, as far as the store takes it."""
        if not self.folder.exists():
            return
        with locked(self.folder.parent / ".lock"):  # the next run may deliver what this one left
            for place in sorted(self.folder.glob("[0-9]*")):
                files = list((place / "file").glob("*"))
                try:
                    self._send(json.loads((place / "record.json").read_text()), files[0] if files else None)
                except Undelivered:
                    self._failed = time.monotonic()
                    return
                remove(place)
            remove(self.folder)
        print(f"delivered what was kept in {self.folder}", file=sys.stderr)
