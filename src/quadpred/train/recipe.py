"""Recipes: every hyperparameter of a training run, read from TOML.

A recipe may name another as its `base` and state only the differences: tables merge, lists replace.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from quadpred.errors import QuadpredError
from quadpred.features import FeatureConfig

__all__ = [
    "AugmentConfig",
    "BlockConfig",
    "ContrastConfig",
    "CorpusConfig",
    "DynamicsConfig",
    "HeadConfig",
    "NetworkConfig",
    "PretrainConfig",
    "Recipe",
    "RecipeError",
    "StageConfig",
    "TransferConfig",
]


_CONFIG = ConfigDict(extra="forbid")


class RecipeError(QuadpredError):
    """A recipe cannot be read. The message is one line: the file and the reason."""


@dataclass(frozen=True, config=_CONFIG)
class BlockConfig:
    """`convolutions` 3×3 convolutions to `channels`, then max-pooling by `pool` (time, mel).

    A `strided` block has one convolution, twice as wide as its pool, with a stride in place of
    pooling.
    """

    channels: int
    pool: tuple[int, int]
    convolutions: int = 1
    strided: bool = False


@dataclass(frozen=True, config=_CONFIG)
class HeadConfig:
    """From the latent to the outputs.

    `temporal` are widths of convolutions over time, three latent steps long, before pooling.
    `pooling` is "flatten" (the whole latent of one row) or "statistics": mean, deviation and
    maximum over each row, and over the row with `context` rows on either side. `trunk` are the
    widths of the dense layers that the heads share, `branch` those of each head's own layers. With
    `joint`, arousal and valence are the marginals of one softmax over the quadrants; otherwise each
    head has its own.
    """

    pooling: Literal["flatten", "statistics"]
    trunk: tuple[int, ...]
    temporal: tuple[int, ...] = ()
    branch: tuple[int, ...] = ()
    context: int = 0
    dropout: float = 0.25
    joint: bool = False


@dataclass(frozen=True, config=_CONFIG)
class NetworkConfig:
    """Sizes of encoder, decoder and heads.

    `stem` averages that many frames first. `norm` is the position of batch normalisation: before or
    after the ReLU. The mean level over `level` seconds on either side is subtracted, so that the
    gain of a recording has no effect; 0 leaves levels absolute.
    """

    blocks: tuple[BlockConfig, ...]
    head: HeadConfig
    stem: int = 1
    norm: Literal["before", "after"] = "before"
    dropout: float = 0.0
    level: int = 0


@dataclass(frozen=True, config=_CONFIG)
class ContrastConfig:
    """Contrastive predictive coding: `ahead` rows predicted from all before them.

    `width` is that of a row's embedding, `context` that of the recurrent network's state.
    """

    ahead: int = 3
    width: int = 128
    context: int = 128


@dataclass(frozen=True, config=_CONFIG)
class PretrainConfig:
    """Pre-training on speech.

    `objective` is "scae" (denoising autoencoder), "cpc" (contrastive predictive coding) or
    "emotion" (classification of tags that name emotions). `crop` in rows; `noise`, of the
    autoencoder, in standard deviations of its input.
    """

    epochs: int
    learning_rate: float
    batch: int
    crop: int
    coverage: float = 1.0
    noise: float = 0.3
    schedule: Literal["constant", "one-cycle"] = "constant"
    objective: Literal["scae", "cpc", "emotion"] = "scae"
    contrast: ContrastConfig = field(default_factory=ContrastConfig)


@dataclass(frozen=True, config=_CONFIG)
class AugmentConfig:
    """Changes to log-mels that leave the emotion alone; 0 turns one off.

    `gain`: in dB, uniform in both directions. `tilt`: in dB from the lowest to the highest band.
    `band_limit`: share of crops whose bands above a random one are attenuated, and share whose
    bands below a random one are. `masks`: number of time masks and of band masks.
    """

    gain: float = 0.0
    tilt: float = 0.0
    band_limit: float = 0.0
    masks: int = 0


@dataclass(frozen=True, config=_CONFIG)
class StageConfig:
    """One stage of transfer.

    A `frozen` encoder keeps its weights; the statistics of its normalisation adapt.
    """

    epochs: int
    learning_rate: float
    frozen: bool = False
    schedule: Literal["constant", "plateau", "one-cycle"] = "constant"


@dataclass(frozen=True, config=_CONFIG)
class CorpusConfig:
    """Settings of the corpus of this name.

    `coverage` is the share of its audio in an epoch. A `linked` corpus has its own learned scale
    and offset between the network's log-odds of arousal and valence and its labels. Labels of other
    corpora are compared with the log-odds directly. `soft_labels` names a labelled corpus: a
    regression on the teacher's values, fitted there, predicts labels for this corpus, which has
    none.
    """

    name: str
    coverage: float
    linked: bool = False
    soft_labels: str = ""


@dataclass(frozen=True, config=_CONFIG)
class DynamicsConfig:
    """Ratings over time: weight of their loss, delay of the listeners, longest run of crops.

    The loss is 1 minus the correlation of log-odds and ratings within a piece. `delay` in seconds,
    `run` in crops.
    """

    weight: float = 0.0
    delay: float = 0.0
    run: int = 8


@dataclass(frozen=True, config=_CONFIG)
class TransferConfig:
    """Fine-tuning on music.

    `crop` in rows; `coverage` is the share of the audio in an epoch, of corpora without settings in
    `corpora`. `keep` chooses the final weights: those of the epoch with the lowest validation loss,
    or a running average. `ratings`, `distillation` and `outliers` are the weights of the losses of
    ratings per clip, of the teacher's values and of outlier exposure. The loss of quadrants has
    weight 1.
    """

    stages: tuple[StageConfig, ...]
    batch: int
    crop: int
    coverage: float = 1.0
    corpora: tuple[CorpusConfig, ...] = ()
    keep: Literal["best", "average"] = "best"
    weight_decay: float = 0.0
    ratings: float = 0.0
    distillation: float = 0.0
    outliers: float = 0.0
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True, config=_CONFIG)
class Recipe:
    """A whole training run.

    `precision` is of the forward and backward pass; weights and their updates are always float32.
    "bfloat16" is used on a GPU and on CPUs with AVX-512; others compute in float32.
    """

    name: str
    features: FeatureConfig
    network: NetworkConfig
    pretrain: PretrainConfig
    transfer: TransferConfig
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the sections demand of each other."""
        if self.network.level and self.network.head.pooling == "flatten":
            raise ValueError('network.level needs head.pooling = "statistics"')

    @classmethod
    def load(cls, source: str | Path) -> "Recipe":
        """Read a recipe from a file, or by name from those that come with the package.

        Raises:
            RecipeError: missing, not TOML, or with a key or value that a recipe does not have.

        """
        return cls.from_dict(_read(source), str(source))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "recipe") -> "Recipe":
        """Build a recipe from plain values, as `dataclasses.asdict` gives them."""
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise RecipeError(
                f"{source}: {key}: {first['msg']}" if key else f"{source}: {first['msg']}"
            ) from None


def _read(source: str | Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a recipe's values, those of its base included; `above` are the files it is a base of."""
    path = Path(source)
    packaged = Path(__file__).parent / "recipes" / f"{source}.toml"
    file = packaged if packaged.is_file() else path
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        names = ", ".join(sorted(entry.stem for entry in packaged.parent.iterdir()))
        raise RecipeError(f"{source}: {error.strerror}; bundled recipes: {names}") from None
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{source}: not TOML: {error}") from None
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise RecipeError(f"{source}: base must be the name of a recipe, found {base!r}")
    above = (*above, file.resolve())
    beside = path.parent / f"{base}.toml"
    below = beside if beside.is_file() else Path(base)
    if below.resolve() in above:
        raise RecipeError(f"{source}: base {base!r} is circular; choose another")
    return _merge(_read(below if beside.is_file() else base, above), values)


def _merge(base: dict[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in delta.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged
