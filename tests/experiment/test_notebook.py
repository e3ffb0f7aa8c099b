from pathlib import Path

from syncnet_lib.experiment.notebook import parameter_names, with_values
from tests.conftest import write_notebook


def test_parameter_names(tmp_path: Path) -> None:
    write_notebook(tmp_path / "n.ipynb", "# T", "stage = 'x'\nlr = 1.0  # unit\nlayers = [1,\n 2]", "other = 3")
    assert parameter_names(tmp_path / "n.ipynb") == ["stage", "lr", "layers"]


def test_values_take_the_place_of_defaults_beside_their_comments() -> None:
    source = 'name = "ü"  # a word\nsizes = [\n    1,\n    2,\n]  # pixels\nfast = False\nlr = 1e-3  # a step'
    given = {"name": "ß x", "sizes": [3], "fast": True, "unknown": 4}
    assert (
        with_values(source, given) == "name = 'ß x'  # a word\nsizes = [3]  # pixels\nfast = True\nlr = 1e-3  # a step"
    )
