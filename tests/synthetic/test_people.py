"""people: everybody is somebody else, can speak, and is the same every time."""

from pathlib import Path

import numpy as np

from syncnet_lib.synthetic import people
from syncnet_lib.synthetic.gallery import Portrait
from syncnet_lib.synthetic.recordings import Recording
from syncnet_lib.synthetic.voice import Voice, speak


def test_people_differ_and_stay_the_same() -> None:
    crowd = [people.identity(1, n) for n in range(30)]
    assert crowd == [people.identity(1, n) for n in range(30)]
    assert len({person.look for person in crowd}) == 30
    assert len({person.voice for person in crowd}) == 30
    assert people.identity(2, 0) != crowd[0]


def test_every_voice_exists() -> None:
    for accent in people._ACCENTS + people._FOREIGN:
        speak("bin", Voice(accent, rate=200, pitch=50))
    for variant in {*people._MALE, *people._FEMALE} - set(people._CRASHES):
        speak("bin", Voice(f"en+{variant}", rate=200, pitch=50))


def test_a_variant_that_crashes_the_synthesiser_is_never_used() -> None:
    names = [people.identity(1, n).voice.name.partition("+")[2] for n in range(41)]
    assert names[31] == "robert"  # drawn as rob: one word of its sentences would end the process
    assert not set(names) & set(people._CRASHES)


def test_sentences_vary_and_some_follow_the_grammar_of_grid() -> None:
    rng = np.random.default_rng(0)
    sentences = [people.sentence(rng) for _ in range(200)]
    assert len(set(sentences)) > 190
    commands = [s for s in sentences if s.split()[0] in people._GRID[0] and s.split()[-1] in people._GRID[-1]]
    assert 50 < len(commands) < 110


def test_scenes_keep_the_face_inside_the_frame() -> None:
    for seed in range(200):
        scene = people.scene(np.random.default_rng(seed), 360, 288)
        half_width, half_height = 45 * scene.scale, 75 * scene.scale
        assert half_width < scene.centre[0] < 360 - half_width
        assert half_height < scene.centre[1] + 20 < 288 - 0.5 * half_height


def test_photographs_and_recordings_are_dealt_out_once_and_kept() -> None:
    portraits = tuple((Portrait(Path(f"{n}.jpg"), str(n), Path(), Path(), Path()),) for n in range(6))
    voices = tuple((Recording(Path(f"{n}.flac"), Path(f"{n}.tsv"), str(n)),) for n in range(4))
    cast = people.Cast(portraits, voices)
    crowd = [people.identity(1, n, cast) for n in range(6)]
    assert crowd == [people.identity(1, n, cast) for n in range(6)]
    assert {person.portraits for person in crowd} == set(portraits)
    assert [person.recordings for person in crowd[:2]] == [person.recordings for person in crowd[4:]]
    assert {person.recordings for person in crowd} == set(voices)
    for n, person in enumerate(crowd):
        drawn = people.identity(1, n)
        assert person.voice == drawn.voice
        assert max(abs(factor - 1) for factor in person.look.skin) < 0.15
        assert person.look.beard == 0
        assert person.style.late == people.LATE_RECORDED
        assert drawn.style.late == people.LATE
