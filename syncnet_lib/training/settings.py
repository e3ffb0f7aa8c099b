"""The sections `train` and `filter` of params.yaml: how a model is trained, and which positives it is trained on."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from syncnet_lib.model.spec import ModelName
from syncnet_lib.settings import Settings

Unit = Literal["clip", "window"]
"""What is judged by one distance: a clip by the mean over its windows, or each window by its own."""
Method = Literal["fixed", "quantile", "far", "mixture"]
"""How the threshold is found: given as a distance [Agrawal], as a share to keep, as a false-accept rate, or where two
fitted groups of distances meet."""


@dataclass(frozen=True)
class Strength:
    """How much is changed beside crop, mirror, tone curve, gain and filter; 0 leaves a thing as it is.

    Attributes:
        geometry: factor on `augment.SCALE`, `TURN`, `SHIFT`, `STRETCH` and `ELASTIC`: another face, filmed otherwise.
        light: largest share by which one side of the crop is lit more, and the other less.
        tract: of another vocal tract, as for `acoustics.another_tract`.
        room: of reverberation, as for `acoustics.in_a_room`.
        background: of noise and other talkers, as for `acoustics.with_background`.
        blur: largest standard deviation of a Gaussian blur, in pixels of the frames as stored; at most 0.7.
        noise: standard deviation of the noise on each MFCC, as a share of that coefficient's own in the run.
        masks: SpecAugment: masks a window of audio, half over time and half over coefficients.
    """

    geometry: float = 0.0
    light: float = 0.0
    tract: float = 0.0
    room: float = 0.0
    background: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    masks: float = 0.0


class TrainSettings(Settings):
    """How a model is trained; the defaults are those of params.yaml."""

    model: ModelName = "small"
    """The network."""
    init: str = ""
    """Checkpoint that training starts from: a name (small, base, refined) or a file; "" for random weights."""
    loss: Literal["matching", "contrastive"] = "matching"
    """Each window against the other windows of its clip [Chung19], or genuine against shifted pairs [Agrawal]."""
    margin: float = Field(20.0, gt=0)
    """Distance, in the embedding's units, beyond which a shifted pair costs nothing (contrastive) [Chung16]."""
    epochs: int = Field(20, ge=1)
    """Passes over the training clips."""
    batch_size: int = Field(192, ge=2)
    """Windows a step."""
    samples_per_clip: int = Field(24, ge=1)
    """Windows drawn from a clip an epoch."""
    validate_every: int = Field(5, ge=1)
    """Epochs between two validations; the last epoch is always validated."""
    lr: float = Field(2.0e-3, gt=0)
    """Learning rate at its peak."""
    weight_decay: float = Field(0.02, ge=0)
    """Share of a weight lost a step, times the learning rate."""
    optimiser: Literal["auto", "muon", "adamw"] = "auto"
    """What updates the weights; auto is Muon [Jordan24] for `small` from random weights, and AdamW [Loshchilov19] where
    larger matrices would be dear to orthogonalise, or a checkpoint is trained on that AdamW has made."""
    schedule: Literal["cosine", "step"] = "cosine"
    """How the learning rate falls: along a cosine to zero, or to a tenth after half of the steps and a hundredth after
    three quarters."""
    grad_clip: float = Field(5.0, ge=0)
    """Largest norm of the whole gradient; 0 does not clip."""
    early_stopping: int = Field(0, ge=0)
    """Validations without a better AUC that end a training; 0 never ends it early."""
    augment: bool = True
    """Augment the training windows; the strengths below add to the crop, the mirror and the changes of light and
    microphone that this alone brings."""
    geometry: float = Field(0.0, ge=0, le=2)
    """See `augment.Strength`."""
    light: float = Field(0.0, ge=0, lt=1)
    """See `augment.Strength`."""
    tract: float = Field(0.0, ge=0, le=0.5)
    """See `augment.Strength`."""
    room: float = Field(0.0, ge=0)
    """See `augment.Strength`."""
    background: float = Field(0.0, ge=0)
    """See `augment.Strength`."""
    blur: float = Field(0.0, ge=0, le=0.7)
    """See `Strength`."""
    noise: float = Field(0.0, ge=0)
    """See `Strength`."""
    masks: float = Field(0.0, ge=0)
    """See `Strength`."""
    loader: Literal["auto", "resident", "mapped", "folder", "folder_persistent"] = "auto"
    """Where batches come from; auto is resident where the split fits into half of the device's memory, else mapped."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the forward pass; auto is bf16 where the device computes in it natively."""
    compile: bool = False
    """Compile the network with torch.compile, on a GPU with CUDA graphs."""
    norm_parts: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Equal parts of a batch, over each of which BatchNorm takes its statistics [Hoffer17]; auto is 2 for `small` on a
    CPU, where a batch falls into two of 64 windows or more, else 1."""
    processes: int | Literal["auto"] = "auto"
    """Training processes (ranks); auto is one a GPU and, on a CPU, one for each of `norm_parts` where it has cores and
    memory for them."""

    @property
    def runs(self) -> int:
        """Runs of audio in a batch, each with its windows: one a pair, or one a clip."""
        return self.batch_size if self.loss == "contrastive" else max(1, self.batch_size // self.samples_per_clip)

    @property
    def augmentation(self) -> Strength | None:
        """How strongly windows are augmented; None for not at all."""
        names = [field.name for field in fields(Strength)]
        return Strength(**{name: getattr(self, name) for name in names}) if self.augment else None


class FilterSettings(Settings):
    """Which positives are kept; the defaults are those of params.yaml."""

    unit: Unit = "clip"
    """What is judged: whole clips, off-sync ones told from dubbed ones; or each pair alone by its distance
    [Agrawal]."""
    method: Method = "far"
    """How the threshold is found."""
    threshold: float = Field(0.05, ge=0)
    """What the method needs, see `filtering.find_threshold`; not used by "mixture"."""
    rounds: int = Field(1, ge=1, le=10)
    """Most rounds of judging and training again."""
    folds: int = Field(2, ge=0)
    """Networks that judge, each the clips that it was not trained on: one that was trained on a wrong clip has learned
    it by heart and finds it right. 0: the base network judges all."""
    repair: bool = True
    """Move the audio of off-sync clips into sync instead of leaving them out."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method in ("quantile", "far") and not 0 < self.threshold < 1:
            raise ValueError(f"threshold {self.threshold} is no share between 0 and 1, which {self.method} needs")
        if self.method == "fixed" and self.threshold == 0:
            raise ValueError("a threshold of 0 keeps nothing")
        if self.folds == 1:
            raise ValueError("folds 1 leaves nothing to train on: 0 or at least 2")
        if self.unit == "window" and self.repair:
            raise ValueError("repair needs unit clip: a single window does not tell an offset")
        return self
