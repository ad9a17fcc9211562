from pathlib import Path

import pytest

from quadpred.labels import QUADRANT
from quadpred.library.moods import MoodError, Vocabulary, read_vocabulary


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> Vocabulary:
        path = tmp_path / "words.toml"
        path.write_bytes(text.encode())
        return read_vocabulary(path)

    return read


def test_every_quadrant_has_a_word_of_its_own():
    words = [Vocabulary().word(quadrant) for quadrant in QUADRANT.classes]
    assert words == ["happy", "tense", "sad", "relaxed"]


def test_moods_are_found_by_word_and_by_quadrant():
    assert Vocabulary().quadrant("SAD") == "Q3"
    assert Vocabulary().quadrant("q2") == "Q2"
    with pytest.raises(
        MoodError, match="gloomy: unknown mood; choose from happy, tense, sad, calm"
    ):
        Vocabulary().quadrant("gloomy")


def test_some_words_may_be_changed(read):
    vocabulary = read('Q2 = "zornig"\nQ4 = " 平静 "\n')
    assert [vocabulary.word(q) for q in QUADRANT.classes] == ["happy", "zornig", "sad", "平静"]
    assert vocabulary.quadrant("Zornig") == "Q2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Q1 = ", "not TOML"),
        ('Q5 = "odd"', "Q5: not one of Q1, Q2, Q3, Q4"),
        ("Q1 = 1", "Q1: must be a word"),
        ('Q1 = "  "', "Q1: must be a word"),
        ('Q1 = "two\\nlines"', "Q1: must be a word"),
        ('Q1 = "SAD"', "sad: is there twice"),
        ('Q1 = "q4"', "q4: is there twice"),
    ],
)
def test_words_that_cannot_be_used(read, text, reason):
    with pytest.raises(MoodError, match=reason) as error:
        read(text)
    assert len(str(error.value).splitlines()) == 1


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "words.toml"
    path.write_bytes(b'Q1 = "\xff"')
    with pytest.raises(MoodError, match="not TOML"):
        read_vocabulary(path)
    with pytest.raises(OSError, match="missing"):
        read_vocabulary(Path("missing.toml"))
