"""What a model says of one clip, second by second."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadpred.labels import HEADS, QUADRANT, Head

__all__ = ["Origin", "Prediction", "join", "margin"]

Array = NDArray[np.float32]

_MAX_TEXT = 500  # characters


@dataclass(frozen=True)
class Origin:
    """The model that made a prediction.

    `speech` and `music` are the languages of its training ("english", "mandarin", "mixed");
    `sha256` identifies the model file; `experimental` is one line on why it is not to be trusted,
    or empty. `lead_second` and `lead_clip` are how far the most probable quadrant must be ahead of
    the next for a second, or a whole clip, to count as certain; measured with the calibration.
    """

    name: str
    speech: str
    music: str
    sha256: str
    experimental: str = ""
    lead_second: float = 0.0
    lead_clip: float = 0.0

    def __post_init__(self) -> None:
        # A model file holds these values.
        for text in self.name, self.speech, self.music, self.experimental:
            if not isinstance(text, str) or len(text) > _MAX_TEXT or not text.isprintable():
                raise ValueError(f"its description must be one line of {_MAX_TEXT} characters")
        for name in "lead_second", "lead_clip":
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a number of 0 to 1, not {value!r}")

    @property
    def case(self) -> str:
        """How the two languages relate: intra-linguistic, cross-linguistic or mixed.

        A model of somebody's own songs (music "custom") is adapted.
        """
        if self.music == "custom":
            return "adapted"
        if self.speech == "mixed":
            return "mixed"
        return "intra-linguistic" if self.speech == self.music else "cross-linguistic"


@dataclass(frozen=True, eq=False)
class Prediction:
    """Perceived emotion of a clip; row k speaks of the second [k, k + 1).

    Attributes:
        quadrant: probabilities of Q1..Q4, shape (rows, 4), float32; each row sums to 1.
        arousal: probabilities of negative and positive arousal, shape (rows, 2).
        valence: probabilities of negative and positive valence, shape (rows, 2).
        silent: seconds with nothing to hear, shape (rows,), bool. Their probabilities are valid
            numbers and mean nothing.
        duration: length of the audio in seconds.
        source: name of the file, or empty for samples.
        model: what made the prediction.

    """

    quadrant: Array
    arousal: Array
    valence: Array
    silent: NDArray[np.bool_]
    duration: float
    model: Origin
    source: str = ""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Prediction":
        """Return the prediction that `quadpred.formats.to_json` has described.

        Raises:
            KeyError: a field is missing.
        """
        model = document["model"]
        heads = {
            head.name: np.array(document[head.name]["rows"], np.float32).reshape(
                -1, len(head.classes)
            )
            for head in HEADS
        }
        return cls(
            **heads,
            silent=np.array(document["silent"], bool),
            duration=float(document["duration"]),
            model=Origin(
                model["name"],
                model["speech"],
                model["music"],
                model["sha256"],
                experimental=model["experimental"],
                lead_second=model["min_margin_second"],
                lead_clip=model["min_margin_clip"],
            ),
            source=document["source"],
        )

    def __len__(self) -> int:
        return len(self.quadrant)

    @property
    def times(self) -> Array:
        """Start of each row in seconds, shape (rows,)."""
        return np.arange(len(self), dtype=np.float32)

    def head(self, head: Head) -> Array:
        """Rows of one head, shape (rows, classes)."""
        return {"quadrant": self.quadrant, "arousal": self.arousal, "valence": self.valence}[
            head.name
        ]

    def mean(self, head: Head) -> Array:
        """Clip probabilities of a head, shape (classes,): the mean over the seconds that sound.

        A clip that is silent throughout has no such second; then all of them count.
        """
        counted = ~self.silent if not self.silent.all() else np.ones(len(self), bool)
        rows = self.head(head)[counted]
        return np.asarray(rows.mean(axis=0, dtype=np.float64), np.float32)

    @cached_property
    def winner(self) -> str:
        """The clip's most probable quadrant."""
        return QUADRANT.classes[int(self.mean(QUADRANT).argmax())]

    @property
    def confidence(self) -> float:
        """Probability of the clip's most probable quadrant."""
        return float(self.mean(QUADRANT).max())

    @cached_property
    def uncertain(self) -> NDArray[np.bool_]:
        """Seconds not to rely on, shape (rows,): silent, or with two quadrants too close."""
        return self.silent | (margin(self.quadrant) < self.model.lead_second)

    @property
    def unsure(self) -> bool:
        """Whether the clip as a whole is not to be relied on."""
        ahead = margin(self.mean(QUADRANT)[None])[0]
        return bool(self.silent.all() or ahead < self.model.lead_clip)

    def winners(self, head: Head = QUADRANT) -> Array:
        """Rows with 1 for the most probable class and 0 elsewhere, shape (rows, classes)."""
        rows = self.head(head)
        one_hot: Array = np.eye(rows.shape[1], dtype=np.float32)[rows.argmax(axis=1)]
        return one_hot

    def means(self) -> dict[str, dict[str, float]]:
        """Clip probabilities by head and class."""
        return {
            head.name: dict(zip(head.classes, map(float, self.mean(head)), strict=True))
            for head in HEADS
        }


def margin(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Tell how far the most probable class of each row is ahead of the next.

    Args:
        probabilities: shape (rows, classes).

    Returns:
        Differences of probability, shape (rows,).
    """
    ordered = np.sort(probabilities, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def join(parts: Iterable[Prediction]) -> Prediction:
    """Join predictions of consecutive seconds of one clip; the last one knows its duration.

    Raises:
        ValueError: there are none.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("nothing to join")
    quadrant, arousal, valence = (
        np.concatenate([part.head(head) for part in parts]) for head in HEADS
    )
    silent = np.concatenate([part.silent for part in parts])
    return replace(parts[-1], quadrant=quadrant, arousal=arousal, valence=valence, silent=silent)
