"""The state of a running training on disk: what an interrupted training goes on from."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from syncnet_lib import files
from syncnet_lib.model.networks import SyncNet
from syncnet_lib.training.adamw import AdamW
from syncnet_lib.training.timing import PhaseTimer

STATE = "state.pt"
"""Everything that the next epoch needs, written after every epoch."""


@dataclass
class Epoch:
    """What one epoch gave.

    Attributes:
        number: from 1.
        loss: mean over its steps.
        lr: learning rate at its end.
        seconds: of its training steps and, where it was due, its validation.
        validation: `scoring.summarise` of the validation split; empty where none was due.
        best: whether this epoch's weights are the best so far.
    """

    number: int
    loss: float
    lr: float
    seconds: float
    validation: dict[str, Any] = field(default_factory=dict)
    best: bool = False

    def scores(self) -> dict[str, float]:
        """The headline scores on the validation split.

        Returns:
            `auc`, `k5` (share of single windows within a frame) and `clip_accuracy`; NaN where no validation was due.
        """
        if not self.validation:
            return dict.fromkeys(("auc", "k5", "clip_accuracy"), float("nan"))
        k5 = self.validation["accuracy_by_frames"]["5"]
        return {"auc": self.validation["auc"], "k5": k5, "clip_accuracy": self.validation["clip_accuracy"]}

    def line(self, epochs: int) -> str:
        """One line for logs and executed notebooks."""
        text = f"epoch {self.number:3d}/{epochs}  loss {self.loss:.4f}  {self.seconds:5.1f} s"
        if self.validation:
            scores = self.scores()
            text += f"  val auc {scores['auc']:.3f}  K=5 {scores['k5']:.1%}  clips {scores['clip_accuracy']:.1%}"
        return text + ("  best" if self.best else "")


def discard_unless(key: dict[str, Any], folder: Path) -> None:
    """Remove the folder of a running training if it holds the state of another one.

    Args:
        key: what decides the result of this training.
        folder: of the state.
    """
    state = _read(folder, torch.device("cpu"))
    if state and state["key"] != key:
        files.remove(folder)


def resume(folder: Path, model: SyncNet, optimiser: AdamW, timer: PhaseTimer, device: torch.device) -> list[Epoch]:
    """Go on from the state in a folder.

    Args:
        folder: of the state; there need not be one.
        model, optimiser, timer: get what the state holds.
        device: of the model.

    Returns:
        The epochs that are done.
    """
    state = _read(folder, device)
    if not state:
        return []
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    timer.restore(state["timing"])
    return [Epoch(**epoch) for epoch in state["history"]]


def save(
    folder: Path,
    key: dict[str, Any],
    model: SyncNet,
    optimiser: AdamW,
    timer: PhaseTimer,
    history: list[Epoch],
) -> None:
    """Write the state after an epoch, atomically.

    Args:
        folder: where.
        key: what decides the result of this training.
        model, optimiser, timer: as they are now.
        history: the epochs that are done.
    """
    state = {
        "key": key,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "timing": timer.rows(),
        "history": [asdict(epoch) for epoch in history],
    }
    with files.atomic(folder / STATE) as temporary:
        torch.save(state, temporary)


def _read(folder: Path, device: torch.device) -> dict[str, Any]:
    path = folder / STATE
    return torch.load(path, map_location=device, weights_only=True) if path.is_file() else {}
