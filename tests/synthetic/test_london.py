import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.synthetic import london
from syncnet_lib.synthetic.corpus import find_cast
from syncnet_lib.synthetic.settings import SyntheticSettings
from tests.fileserver import Server


def packed(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def publish(server: Server, archives: dict[str, bytes]) -> str:
    """Put archives on a server as figshare has them; the address of what describes them."""
    server.files = dict(archives)
    described = [
        {
            "name": name,
            "size": len(data),
            "computed_md5": hashlib.md5(data).hexdigest(),
            "download_url": server.url + name,
        }
        for name, data in archives.items()
    ]
    server.files["article"] = json.dumps({"title": "London Set", "files": described}).encode()
    return f"{server.url}article"


NEUTRAL = {
    "neutral_front/001_03.jpg": b"a",
    "neutral_front/001_03.tem": b"template",
    "__MACOSX/neutral_front/._001_03.jpg": b"no picture",
    "neutral_front/../../002_03.jpg": b"b",
}
SMILING = {"smiling_front/001_08.jpg": b"c"}


def test_is_downloaded_once_and_laid_out_by_person(server: Server, tmp_path: Path) -> None:
    article = publish(
        server, {"neutral_front.zip": packed(NEUTRAL), "smiling_front.zip": packed(SMILING), "x.csv": b""}
    )
    server.cuts, server.faults = 3, [500]
    folder = london.fetch(tmp_path / "london", article, progress=False)
    pictures = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}
    assert pictures == {"neutral/001.jpg": b"a", "neutral/002.jpg": b"b", "smiling/001.jpg": b"c"}
    assert "CC BY 4.0" in (folder / "ATTRIBUTION.txt").read_text()
    asked = len(server.asked)
    london.fetch(folder, article, progress=False)
    assert len(server.asked) == asked, "what is here is not asked for again"


def test_without_a_network_archives_by_hand_serve(server: Server, tmp_path: Path) -> None:
    (tmp_path / "neutral_front.zip").write_bytes(packed(NEUTRAL))
    with pytest.raises(InputError, match=r"404.*take smiling_front.zip from https://doi.org/\S+ and put them into"):
        london.fetch(tmp_path, f"{server.url}nothing", progress=False)
    (tmp_path / "smiling_front.zip").write_bytes(packed(SMILING))
    london.fetch(tmp_path, f"{server.url}nothing", progress=False)
    assert (tmp_path / "smiling" / "001.jpg").exists()


@pytest.mark.parametrize("content", [b"no archive", packed({"notes.txt": b"x"})])
def test_a_damaged_archive_is_one_line(tmp_path: Path, content: bytes) -> None:
    for name in london.ARCHIVES.values():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"neutral_front.zip: damaged archive \(.*delete it"):
        london.fetch(tmp_path, progress=False)
    assert not (tmp_path / "neutral").exists()


@pytest.mark.parametrize("answer", [b'{"files": []}', b'{"files": 3}', b"<html>", b"[]", b"\xff"])
def test_another_description_is_one_line(server: Server, tmp_path: Path, answer: bytes) -> None:
    server.files["article"] = answer
    with pytest.raises(InputError, match=r"does not describe the set as expected .*take neutral_front.zip"):
        london.fetch(tmp_path, f"{server.url}article", progress=False)


def test_a_cast_of_london_is_measured_like_a_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = {"neutral_front.zip": packed(NEUTRAL), "smiling_front.zip": packed(SMILING)}
    monkeypatch.setattr(london, "ARTICLE", publish(server, archives))
    with pytest.raises(InputError, match=r"fewer than two portraits .* not neutral/001.jpg: cannot be read as a pict"):
        find_cast(SyntheticSettings(portraits="london"), tmp_path, tmp_path / "cache", progress=False)
    assert (tmp_path / "cache" / "london" / "smiling" / "001.jpg").exists()
