"""The `syncnet` command: what it prints, writes and refuses, its exit codes, and going on after a kill."""

import csv
import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import av
import jsonschema
import pytest
import typer

import syncnet_lib
from syncnet_lib import cli, verbosity
from syncnet_lib.measurement import checkpoints, result
from syncnet_lib.media import decode, remux, retime
from syncnet_lib.media.clock import FPS
from syncnet_lib.media.correction import Cure
from syncnet_lib.model import checkpoint
from syncnet_lib.model.header import Threshold
from tests import scenes
from tests.conftest import ROOT

DELAY = 4


@pytest.fixture(scope="module")
def late(talkers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video whose sound is late by DELAY frames, one in sync, and one that is broken."""
    folder = tmp_path_factory.mktemp("to measure")
    (folder / "fine.mp4").write_bytes((talkers / "videos" / "s000_00000.mp4").read_bytes())
    retime.retime(folder / "fine.mp4", folder / "late.mp4", Cure.shift(Fraction(DELAY, FPS)))
    (folder / "broken.mp4").write_bytes((folder / "fine.mp4").read_bytes()[:20_000])
    return folder


@pytest.fixture(scope="module")
def model(talkers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The talkers' model with a threshold that their clips reach."""
    path = tmp_path_factory.mktemp("model") / "sure.safetensors"
    threshold = Threshold(0.05, "a test", windows=70)
    checkpoint.save(checkpoint.load(talkers / "model.safetensors"), path, threshold)
    return path


@pytest.fixture
def syncnet(model, monkeypatch, capfd):
    """Call the command; gives exit code, stdout and stderr."""

    def call(*arguments: object, checkpoint: bool = True) -> tuple[int, str, str]:
        chosen = ["--checkpoint", str(model)] if checkpoint else []
        monkeypatch.setattr(sys, "argv", ["syncnet", *map(str, arguments), *chosen])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capfd.readouterr()

    return call


def test_one_video_for_people_and_for_scripts(syncnet, late, model):
    code, out, err = syncnet("offset", late / "late.mp4")
    assert code == 0, err
    said = re.search(r"audio is (\d+) ms behind: advance it", out)
    assert said is not None
    assert abs(int(said[1]) - 40 * DELAY) <= 60
    frames = re.search(r" -(\d+) +-\d+ ±", out)
    assert frames is not None
    assert abs(int(frames[1]) - DELAY) <= 1
    code, out, _ = syncnet("offset", late / "late.mp4", "--json", "-")
    content = json.loads(out)
    jsonschema.validate(content, json.loads(result.SCHEMA.read_text()))
    assert content == syncnet_lib.measure(late / "late.mp4", str(model), device="cpu").to_dict()


def test_verbose_tells_with_what_and_how_long(syncnet, late, monkeypatch):
    monkeypatch.setenv(verbosity.VERBOSE, "")  # and taken away again
    checkpoints._load.cache_clear()  # it says so when it reads one
    code, out, err = syncnet("--verbose", "offset", late / "late.mp4")
    assert code == 0
    assert "late.mp4" in out
    for said in ("cores", "numpy on the CPU", "1 of 1 videos", "video embeddings", "pictures decoded", "offset: over"):
        assert said in err
    assert all(re.match(r"\[ *[\d.]+ s\] ", line) for line in err.splitlines())


@pytest.mark.parametrize("name", sorted(typer.main.get_command(cli.app).commands))
def test_every_command_has_an_example_that_parses(name):
    command = typer.main.get_command(cli.app).commands[name]
    (example,) = re.findall(rf"Example: syncnet {name}\b(.*)", command.help or "")
    command.make_context(name, shlex.split(re.split(r"&&|, then", example)[0]))


def test_exit_codes(syncnet, late, talkers):
    assert syncnet("offset", late / "late.mp4", "--tolerance", DELAY - 2)[0] == 1
    assert syncnet("offset", late / "late.mp4", "--tolerance", DELAY + 1)[0] == 0
    assert syncnet("offset", late / "late.mp4")[0] == 0
    unknown = ["--checkpoint", talkers / "model.safetensors"]
    code, out, _ = syncnet("offset", late / "late.mp4", "--tolerance", DELAY + 1, *unknown, checkpoint=False)
    assert code == 2, "without a threshold nothing is sure, so no gate can let it pass"
    assert "no threshold known" in out
    assert syncnet("offset", late / "late.mp4", *unknown, checkpoint=False)[0] == 2, "0 says that the verdict is sure"
    assert syncnet("offset", late / "nowhere.mp4")[0] == 2
    assert syncnet("offset", late / "late.mp4", "--vshift", 0)[0] == 2
    assert syncnet("nonsense", checkpoint=False)[0] == 2


def test_each_audio_track_is_measured_and_named(syncnet, late, tmp_path):
    two, target = tmp_path / "two.mkv", tmp_path / "out.json"
    with (
        av.open(str(two), "w") as made,
        av.open(str(late / "fine.mp4")) as fine,
        av.open(str(late / "late.mp4")) as moved,
    ):
        for stream, title in (
            (fine.streams.video[0], ""),
            (fine.streams.audio[0], "original"),
            (moved.streams.audio[0], "a dub"),
        ):
            remux.add_copy(made, stream).metadata["title"] = title
        for number, (source, kind) in enumerate(((fine, "video"), (fine, "audio"), (moved, "audio"))):
            source.seek(0)
            for packet in source.demux(**{kind: 0}):
                if packet.dts is not None:
                    packet.stream = made.streams[number]
                    made.mux(packet)
    code, out, err = syncnet("offset", two, "--audio-track", "all", "--json", target, "--plot", tmp_path / "plots")
    assert code == 0, err
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [each["settings"]["audio_track"] for each in found] == [1, 2]
    assert found[0]["offset_frames"] - found[1]["offset_frames"] == DELAY
    for name in ("audio track 1 of 2 (original) is measured", "audio track 2 of 2 (a dub) is measured"):
        assert name in out
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["two-track1.png", "two-track2.png"]
    assert syncnet("offset", late / "broken.mp4", "--audio-track", "all")[0] == 2
    code, _, err = syncnet("offset", two, "--audio-track", "first")
    assert (code, err) == (
        2,
        "error: --audio-track: first is no number; give a number from 1, 0 for the one with speech, or all\n",
    )


def test_a_standard_passes_fails_or_cannot_tell(syncnet, late, talkers, tmp_path):
    target = tmp_path / "out.json"
    code, out, _ = syncnet("offset", late / "late.mp4", "--standard", "ebu-r37", "--json", target)
    assert code == 1
    assert "EBU R37" in out
    assert "fail" in out
    content = json.loads(target.read_text())
    jsonschema.validate(content, json.loads(result.SCHEMA.read_text()))
    assert content["compliance"] == content["segments"][0]["compliance"] == "fail"
    assert syncnet("offset", late / "late.mp4", "--early", 40, "--late", 40 * DELAY + 80)[0] == 0
    code, out, _ = syncnet(
        "offset",
        late / "late.mp4",
        "--standard",
        "atsc",
        "--checkpoint",
        talkers / "model.safetensors",
        checkpoint=False,
    )
    assert code == 2
    assert "cannot be told" in out
    code, _, err = syncnet("offset", late / "late.mp4", "--standard", "r37")
    assert code == 2
    assert "r37: no such standard; use ebu-r37" in err


def test_a_report_is_a_folder(syncnet, late, tmp_path):
    folder = tmp_path / "report"
    assert syncnet("offset", late / "late.mp4", "--standard", "ebu-r37", "--report", folder)[0] == 1
    names = ["1-late.html", "1-late.markers.csv", "1-late.rttm", "index.html", "junit.xml"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert "data:image/jpeg;base64," in (folder / "1-late.html").read_text()
    assert 'failures="1"' in (folder / "junit.xml").read_text()
    code, _, err = syncnet("offset", late / "late.mp4", "--report", folder)
    assert code == 2
    assert "exists already" in err
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_full_disk_leaves_no_empty_folder_of_pictures(syncnet, late, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        code, _, err = syncnet("offset", late / "late.mp4", "--plot", small / "pictures")
        assert code == 2
        assert "no space is left" in err
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_report_of_a_video_whose_name_is_no_text(syncnet, late, tmp_path):
    odd = os.fsencode(tmp_path) + b"/a\xff\x01.mp4"
    shutil.copy(late / "late.mp4", odd)
    folder = tmp_path / "report"
    assert syncnet("offset", os.fsdecode(odd), "--report", folder, "--markers", "edl")[0] == 0
    (page,) = folder.glob("1-*.html")
    assert "/a%FF%01.mp4\n" in next(folder.glob("*.edl")).read_text(), "the file itself, not what is shown of its name"
    assert page.name == r"1-a\xff_.html"
    assert "data:image/jpeg;base64," in page.read_text()
    (case,) = ElementTree.parse(folder / "junit.xml").getroot()
    assert case.get("name").endswith("a\\xff\N{REPLACEMENT CHARACTER}.mp4")


def test_sound_against_sound_needs_enough_of_it(syncnet, late):
    code, _, err = syncnet("offset", late / "late.mp4", "--reference", late / "fine.mp4")
    assert code == 2
    assert "the sound is shorter than 9 s" in err


def test_correct_can_change_the_samples(syncnet, late, tmp_path):
    out = tmp_path / "out.mp4"
    code, printed, err = syncnet("correct", late / "late.mp4", out, "--samples", "--json", tmp_path / "told.json")
    assert code == 0, err
    assert "by samples; decoded and encoded again" in printed
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["correction"]["by"] == "samples"
    assert abs(told["before"]["offset_frames"]) > 1 >= abs(told["after"]["offset_frames"])
    assert scenes.packet_bytes(out, "video") == scenes.packet_bytes(late / "late.mp4", "video")


def test_one_bad_video_does_not_stop_the_rest(syncnet, late, tmp_path):
    table, lines, pictures = tmp_path / "out.csv", tmp_path / "out.json", tmp_path / "plots"
    code, out, err = syncnet(
        "offset", late / "*.mp4", late, tmp_path / "none", "--json", lines, "--csv", table, "--plot", pictures,
        "--workers", 1,
    )  # fmt: skip
    assert code == 2
    assert "2 of 4 failed" in err
    assert "broken.mp4: cannot be" in err
    assert "none: does not exist" in err
    assert "fine.mp4" in out
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    failed = [each for each in found if "error" in each]
    assert [Path(each["path"]).name for each in failed] == ["none", "broken.mp4"]
    for each in found:
        jsonschema.validate(each, json.loads(result.SCHEMA.read_text()))
    found = [each for each in found if "error" not in each]
    assert [Path(each["path"]).name for each in found] == ["fine.mp4", "late.mp4"]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] for row in rows[:2]] == [each["error"] for each in failed]
    rows = rows[2:]
    assert [int(row["track_offset_frames"]) for row in rows] == [each["offset_frames"] for each in found]
    assert int(rows[0]["offset_frames"]) - int(rows[1]["offset_frames"]) == DELAY
    assert sorted(path.name for path in pictures.iterdir()) == ["fine.png", "late.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.json", "plots"]


def test_nothing_is_overwritten(syncnet, late, tmp_path):
    there = tmp_path / "there.mp4"
    there.write_text("mine")
    for command in (
        ("offset", late, "--json", there),
        ("score", late, "--csv", there),
        ("offset", late, "--plot", there),
        ("correct", late / "late.mp4", there),
        ("render", late / "late.mp4", there),
    ):
        code, _, err = syncnet(*command)
        assert code == 2
        assert "exists already and is not overwritten" in err
        assert len(err.splitlines()) == 1
        assert there.read_text() == "mine"
    code, _, err = syncnet("correct", late / "late.mp4", tmp_path / "no folder" / "out.mp4")
    assert code == 2
    assert "cannot be written: no folder" in err


def batch_process(late: Path, model: Path, target: Path) -> subprocess.Popen[bytes]:
    arguments = ["offset", str(late), "--json", str(target), "--workers", "1"]
    arguments += ["--checkpoint", str(model)]
    return subprocess.Popen(
        [sys.executable, "-m", "syncnet_lib.cli", *arguments],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def signalled(process: subprocess.Popen[bytes], journal: Path, lines: int, number: signal.Signals) -> str:
    """Wait until so many videos are done, and end the process with a signal; gives what it says."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.01)
    process.send_signal(number)
    return process.communicate()[1].decode()


def test_a_killed_batch_goes_on(syncnet, talkers, model, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    names = sorted(path.name for path in (talkers / "videos").iterdir())[:5]
    for name in names:
        (videos / name).write_bytes((talkers / "videos" / name).read_bytes())
    target, journal = tmp_path / "out.json", tmp_path / ".out.json.journal"
    signalled(batch_process(videos, model, target), journal, 2, signal.SIGKILL)
    assert not target.exists()
    kept = [line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    marked = [line.replace(b'"warnings": []', b'"warnings": ["kept"]') for line in kept]
    journal.write_bytes(b"".join(marked) + b'{"path": "half a li')
    # Another content under a name that was done: it is measured again.
    (videos / names[0]).write_bytes((videos / names[4]).read_bytes())
    code, _, _ = syncnet("offset", videos, "--json", target, "--workers", 1)
    results = [json.loads(line) for line in target.read_text().splitlines()]
    assert code == (0 if all(result["sureness"] == "sure" for result in results) else 2)
    warnings = [result["warnings"] for result in results]
    assert len(warnings) == 5
    assert warnings[0] == []
    assert ["kept"] in warnings
    assert not journal.exists()


def test_interrupted_keeps_what_is_done(talkers, model, tmp_path, temporary):
    target, journal = tmp_path / "out.json", tmp_path / ".out.json.journal"
    process = batch_process(talkers / "videos", model, target)
    said = signalled(process, journal, 1, signal.SIGINT)
    assert process.returncode == 130
    assert re.search(r"stopped; the \d+ that are done are kept: give the same command again\n", said)
    assert [path.name for path in tmp_path.iterdir()] == [".out.json.journal"]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_corrected_is_in_sync_and_a_copy(syncnet, late, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    code, printed, err = syncnet("correct", late / "late.mp4", out, "--min-confidence", 0.01)
    assert code == 0, printed + err
    assert "measured again: in sync" in printed
    for kind in ("video", "audio"):
        assert scenes.packet_bytes(out, kind) == scenes.packet_bytes(late / "late.mp4", kind)


def test_correct_refuses_when_unsure(syncnet, late, tmp_path):
    out = tmp_path / "out.mp4"
    code, _, err = syncnet("correct", late / "late.mp4", out, "--min-confidence", 5)
    assert code == 2
    assert "is below 5; nothing is written" in err
    assert not list(tmp_path.iterdir())
    code, printed, _ = syncnet("correct", late / "late.mp4", out, "--offset", -2)
    assert "sound moved by -80 ms" in printed
    assert code == 1, "half of it is left"
    assert out.exists()


def test_render_draws_and_keeps_the_sound(syncnet, late, tmp_path):
    out = tmp_path / "drawn.mp4"
    code, printed, err = syncnet("render", late / "late.mp4", out)
    assert code == 0, err
    assert "late.mp4" in printed
    before, after = list(decode.read_frames(late / "late.mp4")), list(decode.read_frames(out))
    assert len(after) == len(before)
    assert all((new.astype(int) - old).std() > 5 for new, old in zip(after, before, strict=True))
    assert scenes.packet_bytes(out, "audio") == scenes.packet_bytes(late / "late.mp4", "audio")


def test_scores_are_labelled(syncnet, late, tmp_path):
    target = tmp_path / "scores.csv"
    code, out, err = syncnet("score", late / "fine.mp4", late / "late.mp4", "--csv", target, "--workers", 1)
    assert code == 0
    assert "do not compare with published LSE" in err
    assert "LSE-D" in out
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["path"] == "mean of 2"
    assert float(rows[-1]["lse_d"]) == pytest.approx((float(rows[0]["lse_d"]) + float(rows[1]["lse_d"])) / 2)


def test_a_converted_checkpoint_measures_the_same(syncnet, late, model, tmp_path):
    out = tmp_path / "copy.safetensors"
    assert syncnet("convert", model, out, checkpoint=False)[0] == 0
    assert syncnet("convert", model, out, checkpoint=False)[0] == 2
    found = [syncnet_lib.measure(late / "late.mp4", str(path), device="cpu").mean_distances for path in (out, model)]
    assert found[0] == found[1]


class _Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_bad_checkpoints_are_one_line_and_run_nothing(syncnet, late, talkers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = (talkers / "model.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(weights[: len(weights) // 2])
    (tmp_path / "other.bin").write_text("no weights")
    (tmp_path / "harm.model").write_bytes(pickle.dumps(_Harm(), protocol=2))
    for name in ("short.safetensors", "other.bin", "harm.model", "nowhere", "."):
        code, _, err = syncnet("offset", late / "late.mp4", "--checkpoint", name, checkpoint=False)
        assert code == 2
        assert err.startswith("error: ")
        assert len(err.splitlines()) == 1
    assert "a file" in err
    assert not (tmp_path / "harm").exists()


HEAVY = ("torch", "numpy", "cv2", "av", "pandas", "mediapipe")
CALLED = """
import sys
from syncnet_lib import cli
sys.argv = ["syncnet", *sys.argv[1:]]
try:
    cli.main()
finally:
    print([name for name in %r if name in sys.modules])
"""


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Call the command in a process of its own; the last line printed is the heavy packages that it imported."""
    script = [sys.executable, "-c", CALLED % (HEAVY,), *map(str, arguments)]
    return subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("option", ["-h", "--help", "--version"])
def test_help_waits_for_nothing(option):
    done = called(option)
    assert done.returncode == 0
    *shown, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    if option == "--version":
        assert shown == [f"syncnet {metadata.version('syncnet_lib')}"]
    else:
        for command in ("Measure", "offset", "correct", "clean", "render", "score", "convert"):
            assert command in done.stdout


def test_a_name_that_is_none_is_refused_before_anything_heavy_is_imported(tmp_path):
    done = called("offset", tmp_path / "nowhere.mp4")
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'nowhere.mp4'}: does not exist\n"
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_small_is_measured_without_torch(late):
    """Importing it would take longer than the rest."""
    done = called("offset", late / "late.mp4")
    assert "late.mp4" in done.stdout
    assert done.stdout.splitlines()[-1] == "['numpy', 'cv2', 'av']"


def test_the_package_runs_as_the_command_and_ends_without_a_search_for_garbage():
    # Called last, because it is registered first.
    code = "import atexit, gc, runpy; atexit.register(lambda: print(gc.get_freeze_count() > 0))"
    code += "; runpy.run_module('syncnet_lib', run_name='__main__')"
    command = [sys.executable, "-S", "-c", code, "--version"]  # without the user.pth of .venv, which does the same
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | path, capture_output=True, text=True, check=True)
    said, frozen = done.stdout.splitlines()
    assert said.startswith("syncnet ")
    assert frozen == "True"
