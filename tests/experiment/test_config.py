import subprocess
import sys
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from syncnet_lib.errors import InputError
from syncnet_lib.experiment import config
from syncnet_lib.experiment.settings import CommonSettings
from syncnet_lib.paths import ROOT, is_pipeline, reports


def params(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def refused(path: Path, stage: str = "corpus") -> str:
    with pytest.raises(InputError) as error:
        config.stage_settings(stage, path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_project_file_is_valid_for_every_stage() -> None:
    for stage, section in config.STAGES.items():
        values = config.stage_settings(stage)
        fields = set(CommonSettings.model_fields)
        fields |= set(config.SECTIONS[section].model_fields) if section else set()
        assert set(values) == fields


@pytest.mark.parametrize("section", config.SECTIONS)
def test_project_file_says_the_defaults_of_the_settings(section: str) -> None:
    content = config.load_yaml(ROOT / "params.yaml")
    assert content[section] == config.SECTIONS[section]().model_dump(), "one default, in one place"


@pytest.mark.parametrize("name", ["clips (1)", "ład", "set=a", "a,b", "[2023]", "it's", "with space", "50 % {a} #1"])
def test_every_folder_can_be_given_on_the_command_line_in_quotes(tmp_path: Path, name: str) -> None:
    path = params(tmp_path, (ROOT / "params.yaml").read_text())
    apply_overrides(path, [f'corpus.path="/videos/{name}"'])
    assert config.stage_settings("corpus", path)["path"] == f"/videos/{name}"


def test_profile_wins_over_section(tmp_path: Path) -> None:
    text = "profile: paper\ntrain: {epochs: 7, lr: 1e-4}\nprofiles: {paper: {train: {epochs: 300}}}\n"
    values = config.stage_settings("train", params(tmp_path, text))
    assert values["epochs"] == 300
    assert values["lr"] == 1e-4, "1e-4 is a number, as DVC reads it, and not the text of YAML 1.1"
    default = config.stage_settings("train", params(tmp_path, text.replace("profile: paper", "profile: default")))
    assert default["epochs"] == 7


def test_paper_profile_is_the_seed(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert "\nprofile: default " in text
    values = config.stage_settings("train", params(tmp_path, text.replace("\nprofile: default ", "\nprofile: paper ")))
    seed = {"batch_size": 1024, "epochs": 300, "samples_per_clip": 5, "validate_every": 5, "margin": 20.0}
    assert {name: values[name] for name in seed} == seed
    assert (values["model"], values["loss"]) == ("paper", "contrastive")


def test_workers_auto_is_a_number(tmp_path: Path) -> None:
    assert config.stage_settings("report", params(tmp_path, "common: {workers: auto}\n"))["workers"] >= 1
    assert config.stage_settings("report", params(tmp_path, "common: {workers: 0}\n"))["workers"] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trian: {epochs: 3}\n", "did you mean train?"),
        ("train: {epoch: 3}\n", "did you mean epochs?"),
        ("train: {epochs: many}\n", "epochs"),
        ("train: {epochs: 3.5}\n", "epochs"),
        ("train: {augment: no}\n", "augment"),
        ("train: 3\n", "must map names to values"),
        ("common: {device: gpu}\n", "device"),
        ("corpus: {talkers: [21]}\n", "21"),
        ("profile: papper\nprofiles: {paper: {}}\n", "unknown profile 'papper'"),
        ("profiles: {paper: {corpus: {clips: 3}}}\n", "is the same for all profiles"),
        ("profiles: {paper: {training: {epochs: 3}}}\n", "unknown section"),
        ("profiles: {paper: {train: {epoch: 3}}}\n", "did you mean epochs?"),
        ("profiles: 3\n", "must map profile names"),
        ("train: {epochs: 3\n", "not YAML in line"),
        ("- 3\n", "must map names to values"),
        ("train: {epochs: 3, epochs: 4}\n", "not YAML"),
    ],
)
def test_bad_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    message = refused(params(tmp_path, text))
    assert expected in message
    assert "params.yaml" in message


def test_a_bad_value_is_blamed_where_it_stands(tmp_path: Path) -> None:
    text = "train: {lr: abc}\nprofiles: {paper: {train: {epochs: 300}}}\n"
    assert refused(params(tmp_path, text)).startswith("params.yaml: train.lr: ")
    text = "train: {lr: 0.1}\nprofiles: {paper: {train: {epochs: many}}}\n"
    assert refused(params(tmp_path, text)).startswith("params.yaml: profiles.paper.train.epochs: ")


def test_every_stage_finds_every_slip(tmp_path: Path) -> None:
    path = params(tmp_path, "evaluate: {vshift: none}\n")
    for stage in config.STAGES:
        assert "vshift" in refused(path, stage), "a slip is found before anything has run"


def test_missing_file_and_unknown_stage(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "params.yaml")
    assert "did you mean train?" in refused(ROOT / "params.yaml", "trian")


def test_workdir() -> None:
    assert is_pipeline("data")
    assert is_pipeline(ROOT / "notebooks" / ".." / "data")
    assert not is_pipeline("data/smoke")
    assert reports("data") == ROOT / "reports"
    assert reports("data/smoke") == ROOT / "data" / "smoke" / "reports"


def test_parameters_are_checked_without_the_heavy_packages() -> None:
    """`syncnet check` answers in two seconds because of it."""
    heavy = {"torch", "pandas", "scipy", "cv2", "mlflow", "papermill"}
    script = f"import sys; from syncnet_lib.experiment import stages; stages.check(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
