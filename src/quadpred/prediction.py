"""The result of a prediction: one row of probabilities per second of a recording."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quadpred.files import unescape_name
from quadpred.labels import HEADS, QUADRANT, Head

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["SCHEMA", "ModelInfo", "Prediction", "join", "margin"]

Array = NDArray[np.float32]

SCHEMA = 1
"""Version of a prediction's JSON; it increases when older readers would misread the document."""

_MAX_TEXT = 500  # characters


@dataclass(frozen=True)
class ModelInfo:
    """The model that made a prediction.

    Attributes:
        name: of the model.
        speech: language of the speech that it was pre-trained on: english, mandarin or mixed.
        music: language of the music that it was fine-tuned on: english or mandarin; "custom" for
            a model that `quadpred adapt` made.
        sha256: checksum of the model file.
        caveat: one line on why not to rely on the model; empty if there is no such reason.
        min_margin_second: margin below which a second is uncertain; see `margin`.
        min_margin_clip: margin below which a recording is uncertain.
    """

    name: str
    speech: str
    music: str
    sha256: str
    caveat: str = ""
    min_margin_second: float = 0.0
    min_margin_clip: float = 0.0

    def __post_init__(self) -> None:
        # A model file, which may come from anywhere, holds these values.
        for text in self.name, self.speech, self.music, self.caveat:
            is_text: bool = isinstance(text, str)
            if not is_text or len(text) > _MAX_TEXT or not text.isprintable():
                raise ValueError(f"its description must be one line of {_MAX_TEXT} characters")
        for name in "min_margin_second", "min_margin_clip":
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a number from 0 to 1, not {value!r}")

    @property
    def transfer_setting(self) -> str:
        """How the two languages relate: intra-linguistic, cross-linguistic, mixed or adapted."""
        if self.music == "custom":
            return "adapted"
        if self.speech == "mixed":
            return "mixed"
        return "intra-linguistic" if self.speech == self.music else "cross-linguistic"


@dataclass(frozen=True, eq=False)
class Prediction:
    """Perceived emotion of a recording; row k covers the second [k, k + 1).

    Attributes:
        quadrant: probabilities of Q1 to Q4, shape (rows, 4), float32; each row sums to 1.
        arousal: probabilities of negative and positive arousal, shape (rows, 2).
        valence: probabilities of negative and positive valence, shape (rows, 2).
        silent: seconds below -60 dBFS, shape (rows,), bool. Their probabilities are valid numbers
            without meaning.
        duration: length of the audio in seconds.
        model: the model that made the prediction.
        source: name of the file, or empty for samples.
        damage: one line on what of the file is damaged or missing, or `None`.
        embedding: last hidden layer of the network for each second, shape (rows, width), float32;
            `None` unless it was requested.
    """

    quadrant: Array
    arousal: Array
    valence: Array
    silent: NDArray[np.bool_]
    duration: float
    model: ModelInfo
    source: str = ""
    damage: str | None = None
    embedding: Array | None = None

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Prediction":
        """Return the prediction that `quadpred.formats.documents.to_json` described.

        Numbers are those of the document, which are rounded to 6 digits after the point.

        Raises:
            KeyError: a field is missing.
            ValueError: a field has another form; the rows are not finite numbers, or not as many,
                at least one, for each field; or the layout is of another version.
        """
        try:
            return cls._read(document)
        except (TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"a field has another form ({error})") from None

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> "Prediction":
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r}: this quadpred reads only {SCHEMA}")
        model = {each.name: document["model"][each.name] for each in fields(ModelInfo)}
        duration, damage = document["duration"], document["damage"]
        if not math.isfinite(duration) or not isinstance(damage, str | None):
            raise ValueError("duration is no number, or damage no text")
        silent = np.array(document["silent"])
        if silent.ndim != 1 or silent.dtype != bool:
            raise ValueError("silent is not a list, at least one long, of true and false")
        rows = {head.name: np.array(document[head.name]["rows"], np.float32) for head in HEADS}
        for head in HEADS:
            found = rows[head.name]
            if found.shape != (len(silent), len(head.classes)) or not np.isfinite(found).all():
                raise ValueError("the fields differ in their number of rows, or hold no numbers")
        return cls(
            **rows,
            silent=silent,
            duration=duration,
            model=ModelInfo(**model),
            source=unescape_name(document["source"]),
            damage=damage,
        )

    def __len__(self) -> int:
        return len(self.quadrant)

    @property
    def times(self) -> Array:
        """Start of each row in seconds, shape (rows,)."""
        return np.arange(len(self), dtype=np.float32)

    def head(self, head: Head) -> Array:
        """Return the rows of one head, shape (rows, classes)."""
        return {"quadrant": self.quadrant, "arousal": self.arousal, "valence": self.valence}[
            head.name
        ]

    @property
    def counted_seconds(self) -> NDArray[np.bool_]:
        """Seconds that count for means: those not silent, or all if every one is, shape (rows,)."""
        return ~self.silent | self.silent.all()

    def mean(self, head: Head) -> Array:
        """Return a head's mean over `counted_seconds`, shape (classes,)."""
        rows = self.head(head)[self.counted_seconds]
        return np.asarray(rows.mean(axis=0, dtype=np.float64), np.float32)

    @cached_property
    def winner(self) -> str:
        """The most probable quadrant of the recording."""
        return QUADRANT.classes[int(self.mean(QUADRANT).argmax())]

    @property
    def confidence(self) -> float:
        """Probability of the recording's most probable quadrant."""
        return float(self.mean(QUADRANT).max())

    @cached_property
    def uncertain_seconds(self) -> NDArray[np.bool_]:
        """Seconds that are silent or whose margin is below `min_margin_second`, shape (rows,)."""
        return self.silent | (margin(self.quadrant) < self.model.min_margin_second)

    @property
    def uncertain(self) -> bool:
        """Whether it is all silent, or the margin of its means is below `min_margin_clip`."""
        small = margin(self.mean(QUADRANT)[None])[0] < self.model.min_margin_clip
        return bool(self.silent.all() or small)

    def winners_only(self) -> "Prediction":
        """Return the prediction with 0 for all but the most probable class of each row and head.

        The most probable class keeps its probability, as in the paper's script; means follow.
        """

        def keep_largest(rows: Array) -> Array:
            return np.where(np.eye(rows.shape[1], dtype=bool)[rows.argmax(axis=1)], rows, 0)

        return replace(
            self,
            quadrant=keep_largest(self.quadrant),
            arousal=keep_largest(self.arousal),
            valence=keep_largest(self.valence),
        )

    def pooled_embedding(self) -> Array:
        """Return the mean embedding over `counted_seconds`, shape (width,).

        Raises:
            ValueError: the prediction has no embeddings.
        """
        if self.embedding is None:
            raise ValueError("the prediction has no embeddings")
        rows = self.embedding[self.counted_seconds]
        return np.asarray(rows.mean(axis=0, dtype=np.float64), np.float32)

    def to_frame(self) -> "DataFrame":
        """Return a pandas frame with one row per second.

        Its index `second` holds times from the start of the recording. Its columns are `Q1` to
        `Q4`, `arousal` and `valence` (probability of "positive"), `uncertain` and `silent`.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        import pandas  # as slow to import as the whole package

        columns = dict(zip(QUADRANT.classes, self.quadrant.T, strict=True))
        columns |= {"arousal": self.arousal[:, 1], "valence": self.valence[:, 1]}
        columns |= {"uncertain": self.uncertain_seconds, "silent": self.silent}
        index = pandas.to_timedelta(np.arange(len(self)), unit="s").rename("second")
        return pandas.DataFrame(columns, index=index)

    def means(self) -> dict[str, dict[str, float]]:
        """Return the mean probability of every class, by head and class."""
        return {
            head.name: dict(zip(head.classes, map(float, self.mean(head)), strict=True))
            for head in HEADS
        }


def margin(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the probability of each row's most probable class minus that of the next one.

    Args:
        probabilities: shape (rows, classes).

    Returns:
        Margins from 0 to 1, shape (rows,).
    """
    ordered = np.sort(probabilities, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def join(parts: Iterable[Prediction]) -> Prediction:
    """Join predictions of consecutive seconds; duration and damage are those of the last one.

    Raises:
        ValueError: there are none.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("no predictions to join")
    quadrant, arousal, valence = (
        np.concatenate([part.head(head) for part in parts]) for head in HEADS
    )
    embeddings = [part.embedding for part in parts if part.embedding is not None]
    return replace(
        parts[-1],
        quadrant=quadrant,
        arousal=arousal,
        valence=valence,
        silent=np.concatenate([part.silent for part in parts]),
        embedding=np.concatenate(embeddings) if embeddings else None,
    )
