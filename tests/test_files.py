"""Files are whole or absent."""

import pytest

from syncnet_lib import files


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with files.write_aside(path) as aside:
            aside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder(tmp_path):
    target = tmp_path / "clip"
    target.mkdir()
    (target / "old").touch()
    with files.write_aside(target) as aside:
        aside.mkdir()
        (aside / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_hash_and_json(tmp_path):
    files.write_json(tmp_path / "a" / "b.json", {"é": 1})
    assert (tmp_path / "a" / "b.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'
    files.write_bytes(tmp_path / "empty", b"")
    assert files.sha256(tmp_path / "empty").startswith("e3b0c442")
