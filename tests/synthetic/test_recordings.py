# ruff: noqa: RUF001  (phonetic letters look like others)
"""recordings: utterances with phone times, and what is wrong with those that have none."""

from pathlib import Path

import av
import numpy as np
import pytest

from syncnet_lib.errors import InputError
from syncnet_lib.synthetic import recordings
from syncnet_lib.synthetic.people import _ACCENTS, _FOREIGN
from syncnet_lib.synthetic.recordings import BIAS
from syncnet_lib.synthetic.voice import Voice, speak
from tests.conftest import shared

TIMES = "0.000\t0.200\tSIL\t\n0.200\t0.300\tP\tpot\n0.300\t0.450\tAA1\tpot\n0.450\t0.500\tT\tpot\n"


def write(folder: Path, speakers: tuple[str, ...] = ("a", "b"), times: str = TIMES) -> None:
    """An index of one utterance a speaker: a pulse of sound at 0.3 s of half a second."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = np.zeros(8000, np.int16)
    samples[4800:4810] = 10_000
    for name in speakers:
        with av.open(str(folder / f"{name}.flac"), "w") as container:
            stream = container.add_stream("flac", rate=16_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate = 16_000
            container.mux([*stream.encode(frame), *stream.encode(None)])
        (folder / f"{name}.tsv").write_text(times)
    rows = [f"{name}.flac,{name},f,{name}.tsv" for name in speakers]
    (folder / "index.csv").write_text("\n".join(["file,speaker,sex,alignment", *rows]) + "\n")


def test_speakers_of_all_indexes_are_found(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two", ("a",))
    found = recordings.find(tmp_path)
    assert [[r.audio.relative_to(tmp_path).as_posix() for r in each] for each in found] == [
        ["one/a.flac"],
        ["one/b.flac"],
        ["two/a.flac"],
    ]


def test_phones_become_phonemes_with_their_closures(tmp_path: Path) -> None:
    write(tmp_path)
    samples, phonemes = recordings.read(recordings.find(tmp_path)[0][0])
    assert samples.dtype == np.float32
    assert len(samples) == 8000
    assert [p.ipa for p in phonemes] == ["", "p", "ɑ", "t"]
    assert [p.stressed for p in phonemes] == [False, False, True, False]
    assert phonemes[1].start == pytest.approx(0.2 + BIAS)
    assert phonemes[1].release == pytest.approx(0.2 + BIAS + 0.06)
    assert phonemes[2].release is None


@pytest.mark.parametrize(
    "times", [TIMES.lower(), TIMES.lower().replace("sil", "sp"), TIMES.lower().replace("aa1", "ow")]
)
def test_arpabet_in_small_letters_is_no_ipa(tmp_path: Path, times: str) -> None:
    write(tmp_path, times=times)
    _, phonemes = recordings.read(recordings.find(tmp_path)[0][0])
    assert [p.ipa for p in phonemes] == ["", "p", "oʊ" if "ow" in times else "ɑ", "t"]


def test_a_whole_alignment_decides_whether_it_is_arpabet(tmp_path: Path) -> None:
    write(tmp_path, times=TIMES.lower().replace("aa1", "aa") + "0.480\t0.490\te\tpot\n0.490\t0.491\tah\tpot\n")
    _, phonemes = recordings.read(recordings.find(tmp_path)[0][0])
    assert [p.ipa for p in phonemes] == ["", "p", "aa", "t", "e", "ah"]


GERMAN = {"pʰ": "p", "aː": "a", "ʁ": "ʁ", "ʏ": "ʏ", "t͡s": "ts", "n̩": "n", "ˈɔʏ": "ɔʏ", "spn": "", "": "", "<eps>": ""}


def test_another_language_is_written_in_ipa(tmp_path: Path) -> None:
    lines = [f"{n / 20:.3f}\t{(n + 1) / 20:.3f}\t{phone}\twort" for n, phone in enumerate(GERMAN)]
    write(tmp_path, times="\n".join(lines))
    _, phonemes = recordings.read(recordings.find(tmp_path)[0][0])
    assert [p.ipa for p in phonemes] == list(GERMAN.values())
    assert [p.release is not None for p in phonemes] == [phone in ("pʰ", "t͡s") for phone in GERMAN]


def test_what_espeak_says_in_any_accent_has_a_shape() -> None:
    """Written as an alignment, its phones are read as they are: none is a pause, in which lips close."""
    for accent in (*_ACCENTS, *_FOREIGN):
        _, phonemes = speak("very young people above water wonder about birds", Voice(f"{accent}+m1", 165, 45))
        unknown = {p.ipa for p in phonemes if p.ipa and not recordings._symbol(p.ipa)}
        assert unknown <= {"ʲ"}, f"{accent}: {unknown}"


def test_a_shorter_vocal_tract_shortens_samples_and_times_alike(tmp_path: Path) -> None:
    write(tmp_path)
    recording = recordings.find(tmp_path)[0][0]
    samples, phonemes = recordings.read(recording, tract=1.25)
    assert len(samples) == 6400
    assert np.abs(samples).argmax() / 16_000 == pytest.approx(0.3 / 1.25, abs=1e-3)
    assert phonemes[2].start == pytest.approx((0.3 + BIAS) / 1.25)


def test_every_phone_of_english_has_a_target(tmp_path: Path) -> None:
    voices = shared("voices", "real voices")
    for recording in (r for each in recordings.find(voices)[::20] for r in each):
        for line in recording.alignment.read_text().splitlines():
            phone = line.split("\t")[2]
            assert phone in recordings._IPA or not phone.isalpha() or phone == "SIL"


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        recordings.find(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"fewer than two speakers \(0\)"):
        recordings.find(tmp_path)
    write(tmp_path / "one", ("a",))
    with pytest.raises(InputError, match=r"fewer than two speakers \(1\)"):
        recordings.find(tmp_path)
    write(tmp_path / "two")
    (tmp_path / "two" / "b.tsv").unlink()
    with pytest.raises(InputError, match=r"b.tsv: missing, though index.csv names it"):
        recordings.find(tmp_path)
    (tmp_path / "two" / "index.csv").write_text("file,speaker\nx,y\n")
    with pytest.raises(InputError, match="no column alignment"):
        recordings.find(tmp_path)
    write(tmp_path / "two", times="0.1\tlate\tP\n")
    with pytest.raises(InputError, match=r"a.tsv: not a phone"):
        recordings.read(recordings.find(tmp_path / "two")[0][0])
    write(tmp_path / "two", times="0.1\t0.2\tQX\tword\n")
    with pytest.raises(InputError, match=r"a.tsv: not one phone is known: QX"):
        recordings.read(recordings.find(tmp_path / "two")[0][0])
    (tmp_path / "two" / "a.tsv").write_bytes(TIMES.encode("utf-16"))
    with pytest.raises(InputError, match=r"a.tsv: is not UTF-8"):
        recordings.read(recordings.find(tmp_path / "two")[0][0])
    (tmp_path / "two" / "index.csv").write_text("file,speaker,alignment\na.flac,a\n")
    with pytest.raises(InputError, match=r"index.csv: row 1 has no alignment"):
        recordings.find(tmp_path)


def test_an_index_out_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    index = tmp_path / "index.csv"
    index.write_bytes(b"\xef\xbb\xbf" + index.read_bytes().replace(b"\n", b"\r\n"))
    assert len(recordings.find(tmp_path)) == 2
