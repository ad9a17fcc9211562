"""Recipes: every number of a training run, read from TOML.

A recipe may name another as its `base` and state only what differs; tables merge, lists replace.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from quadpred.errors import QuadpredError
from quadpred.features import FeatureConfig

__all__ = [
    "AugmentConfig",
    "BlockConfig",
    "ContrastConfig",
    "CorpusConfig",
    "HeadConfig",
    "NetworkConfig",
    "PretrainConfig",
    "Recipe",
    "RecipeError",
    "StageConfig",
    "TransferConfig",
]


class RecipeError(QuadpredError):
    """A recipe that cannot be read. `str(error)` is one line: the file and the reason."""


@dataclass(frozen=True)
class BlockConfig:
    """`convolutions` 3×3 convolutions to `channels`, then max-pooling by `pool` (time, mel).

    A `strided` block has one convolution, twice as wide as its pool, that steps instead of pooling.
    """

    channels: int
    pool: tuple[int, int]
    convolutions: int = 1
    strided: bool = False


@dataclass(frozen=True)
class HeadConfig:
    """From the latent to the three heads.

    `pooling` is "flatten" (the whole latent of one row) or "statistics" (mean, deviation and
    maximum over `context` seconds before and after each row). `trunk` and `branch` are widths of
    the dense layers shared by the heads and of each head's own. There may be several `experts`,
    each with all of these, between which a gate decides. With these may come an opinion on valence
    beside the first one's own, of which `opinion` is the weight: log-odds a standard deviation.
    """

    pooling: Literal["flatten", "statistics"]
    trunk: tuple[int, ...]
    branch: tuple[int, ...] = ()
    context: int = 0
    dropout: float = 0.25
    experts: int = 1
    opinion: float = 0.0


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of encoder, decoder and heads.

    `stem` averages that many frames first. `norm` says on which side of the ReLU batch
    normalisation stands.
    """

    blocks: tuple[BlockConfig, ...]
    head: HeadConfig
    stem: int = 1
    norm: Literal["before", "after"] = "before"
    dropout: float = 0.0


@dataclass(frozen=True)
class ContrastConfig:
    """Contrastive predictive coding: `ahead` rows predicted from all before them.

    `width` is that of a row's embedding, `context` that of the recurrent network's state.
    """

    ahead: int = 3
    width: int = 128
    context: int = 128


@dataclass(frozen=True)
class PretrainConfig:
    """What the encoder learns first: to denoise ("scae"), to predict ("cpc"), or to tell tags.

    The last is "emotion", for speech whose manifest names emotions as tags. `crop` in rows;
    `noise`, of the autoencoder, in standard deviations of its input.
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


@dataclass(frozen=True)
class AugmentConfig:
    """Changes to log-mels that leave their emotion alone; 0 turns one off.

    `gain` in dB (uniform, either way), `tilt` in dB from the lowest to the highest band,
    `band_limit` the share of crops that lose what is above some band, and of those that lose what
    is below one, `masks` the number of time and of band masks.
    """

    gain: float = 0.0
    tilt: float = 0.0
    band_limit: float = 0.0
    masks: int = 0


@dataclass(frozen=True)
class StageConfig:
    """One stage of transfer; a `frozen` encoder keeps its weights, and adapts its statistics.

    Where experts join a network, all that there was stays as it is.
    """

    epochs: int
    learning_rate: float
    frozen: bool = False
    schedule: Literal["constant", "plateau", "one-cycle"] = "constant"


@dataclass(frozen=True)
class CorpusConfig:
    """What is special about the corpus of this name.

    Of labels that are to be trusted for `arousal_only`, valence is left open: the quadrant may be
    either of the two with that arousal. `expert` is the number of the one that the gate is to
    choose; for corpora that name none it is the first.
    """

    name: str
    coverage: float
    arousal_only: bool = False
    expert: int = 0


@dataclass(frozen=True)
class TransferConfig:
    """Fine-tuning on music.

    `crop` in rows; `coverage` is the share of the audio heard in an epoch, of corpora that are not
    among the special `corpora`. `keep` chooses the weights that remain: those of the epoch with the
    lowest validation loss, or a running average. `tags` and `teacher` weigh the auxiliary losses of
    a manifest's tags and of its teacher, `foreign` that of sounds that are no music. `reading` is
    the strength (the inverse of the penalty) of the logistic regression that reads emotions from
    the copy of the teacher, learned from clips of no special corpora; at 0 it is not read.
    """

    stages: tuple[StageConfig, ...]
    batch: int
    crop: int
    coverage: float = 1.0
    corpora: tuple[CorpusConfig, ...] = ()
    keep: Literal["best", "average"] = "best"
    weight_decay: float = 0.0
    tags: float = 0.0
    teacher: float = 0.0
    foreign: float = 0.0
    reading: float = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class Recipe:
    """A whole training run.

    `precision` is of the forward and backward pass; weights and their updates are always float32.
    """

    name: str
    features: FeatureConfig
    network: NetworkConfig
    pretrain: PretrainConfig
    transfer: TransferConfig
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no network could do."""
        experts = self.network.head.experts
        if self.network.head.opinion and experts == 1:
            raise ValueError("an opinion joins with further experts, and there is only one")
        if self.transfer.reading and self.network.head.pooling == "flatten":
            raise ValueError(
                "a copy is read over several rows, and pooling by flattening knows one"
            )
        for corpus in self.transfer.corpora:
            if not 0 <= corpus.expert < experts:
                raise ValueError(f"{corpus.name}: no expert {corpus.expert} among {experts}")

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
            recipe = _build(cls, values)
        except (KeyError, TypeError, ValueError) as error:
            raise RecipeError(f"{source}: {error.args[0]}") from None
        assert isinstance(recipe, cls)
        return recipe


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    packaged = Path(__file__).parent / "recipes" / f"{source}.toml"
    try:
        text = packaged.read_text() if packaged.is_file() else path.read_text()
        values = tomllib.loads(text)
    except OSError as error:
        known = ", ".join(sorted(entry.stem for entry in packaged.parent.iterdir()))
        raise RecipeError(f"{source}: {error.strerror}; on board are: {known}") from None
    except ValueError as error:
        raise RecipeError(f"{source}: not TOML: {error}") from None
    base = values.pop("base", None)
    if base is None:
        return values
    beside = path.parent / f"{base}.toml"
    return _merge(_read(beside if beside.is_file() else base), values)


def _merge(base: dict[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in delta.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _build(kind: Any, value: Any) -> Any:
    """Turn plain TOML values into the dataclass, tuple or scalar that the type hint asks for."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a table, found {value!r}")
        if unknown := sorted(set(value) - known):
            raise KeyError(f"unknown key {unknown[0]!r} in {kind.__name__}")
        return kind(**{key: _build(hints[key], item) for key, item in value.items()})
    if get_origin(kind) is tuple:
        of = get_args(kind)
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected a list, found {value!r}")
        return tuple(_build(of[0], item) for item in value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{value!r} is not one of {', '.join(get_args(kind))}")
        return value
    if kind is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, found {value!r}")
    return value
