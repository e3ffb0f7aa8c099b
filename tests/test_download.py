import hashlib
from pathlib import Path

import numpy as np
import pytest

from syncnet_lib import download
from syncnet_lib.errors import InputError
from tests.fileserver import Server

DATA = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(DATA).hexdigest()


def fetch(server: Server, folder: Path, md5: str = "", size: int = 0) -> bytes:
    download.fetch(f"{server.url}faces.zip", folder / "faces.zip", md5, size, progress=False)
    assert not list(folder.glob("*.partial"))
    return (folder / "faces.zip").read_bytes()


@pytest.mark.parametrize("ranges", [True, False])
def test_goes_on_where_it_was_cut(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.files, server.cuts, server.ranges = {"faces.zip": DATA}, 2, ranges
    assert fetch(server, tmp_path) == DATA
    assert server.asked[0] == ""
    resumed = int(server.asked[1].removeprefix("bytes=").rstrip("-"))
    assert len(DATA) // 2 - download._BLOCK < resumed <= len(DATA) // 2


def test_a_cut_that_looks_like_an_end_is_seen_by_the_size(server: Server, tmp_path: Path) -> None:
    server.files, server.cuts, server.lengths = {"faces.zip": DATA}, 1, False
    assert fetch(server, tmp_path, size=len(DATA)) == DATA


def test_goes_on_in_a_later_run(server: Server, tmp_path: Path) -> None:
    server.files, server.cuts = {"faces.zip": DATA}, 100
    with pytest.raises(InputError, match="it goes on where it stopped"):
        fetch(server, tmp_path)
    have = (tmp_path / "faces.zip.partial").stat().st_size
    assert 0 < have < len(DATA)
    server.cuts, server.asked = 0, []
    assert fetch(server, tmp_path) == DATA
    assert server.asked == [f"bytes={have}-"]


def test_was_complete_but_not_moved(server: Server, tmp_path: Path) -> None:
    server.files = {"faces.zip": b"whole"}
    (tmp_path / "faces.zip.partial").write_bytes(b"whole")
    assert fetch(server, tmp_path) == b"whole"
    (tmp_path / "faces.zip.partial").write_bytes(b"longer than the file is now")
    assert fetch(server, tmp_path) == b"whole"


def test_passing_faults_are_waited_for(server: Server, tmp_path: Path) -> None:
    server.files, server.faults = {"faces.zip": DATA}, [500, 429, 503]
    assert fetch(server, tmp_path) == DATA
    assert len(server.asked) == 4


@pytest.mark.parametrize(("faults", "asked"), [([], 1), ([403], 1), ([500] * 9, download.RETRIES + 1)])
def test_what_stays_wrong_is_one_line(server: Server, tmp_path: Path, faults: list[int], asked: int) -> None:
    server.faults = list(faults)
    with pytest.raises(InputError, match=r"404|403|500") as error:
        fetch(server, tmp_path)
    assert "\n" not in str(error.value)
    assert len(server.asked) == asked, "what is not there is not asked for again"


def test_a_wrong_checksum_is_not_resumed(server: Server, tmp_path: Path) -> None:
    server.files = {"faces.zip": DATA}
    (tmp_path / "faces.zip.partial").write_bytes(b"of another file")
    assert fetch(server, tmp_path, MD5, len(DATA)) == DATA
    server.files = {"faces.zip": DATA[::-1]}
    with pytest.raises(InputError, match="checksum"):
        fetch(server, tmp_path, MD5, len(DATA))
    assert not list(tmp_path.glob("*.partial"))


def test_a_full_disk_is_one_line(server: Server, tmp_path: Path) -> None:
    server.files = {"faces.zip": DATA}
    (tmp_path / "faces.zip.partial").symlink_to("/dev/full")
    with pytest.raises(
        InputError, match=r"faces.zip.partial: cannot be written \(No space left on device\); make room"
    ):
        fetch(server, tmp_path)


def test_no_server(tmp_path: Path, server: Server) -> None:
    server.server_close()  # the port is free again: a connection is refused
    with pytest.raises(InputError, match="cannot be downloaded") as error:
        fetch(server, tmp_path)
    assert "\n" not in str(error.value)
