"""Predictions of the eight examples by the default model, pinned.

python tests/unit/test_golden.py       # writes golden.json after a model was retrained
"""

import json
from pathlib import Path

import numpy as np
import pytest

from quadpred import Predictor

GOLDEN = Path(__file__).with_name("golden.json")
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ogg"))


def rows_of(predictor: Predictor, path: Path) -> np.ndarray:
    """Quadrant probabilities of every fifth second."""
    return predictor.predict(path).quadrant[::5]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_predictions_of_the_examples_are_unchanged(path: Path) -> None:
    expected = json.loads(GOLDEN.read_text())[path.stem]
    np.testing.assert_allclose(rows_of(Predictor.load(), path), expected, atol=1e-3)


def test_every_example_is_pinned() -> None:
    assert list(json.loads(GOLDEN.read_text())) == [path.stem for path in EXAMPLES]


if __name__ == "__main__":
    model = Predictor.load()
    pinned = {path.stem: rows_of(model, path).round(4).tolist() for path in EXAMPLES}
    GOLDEN.write_text(json.dumps(pinned) + "\n")
