from pathlib import Path

import pytest

from quadpred.labels import QUADRANT
from quadpred.library.moods import PLACES, MoodError, Vocabulary, place_of, read_vocabulary


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> Vocabulary:
        path = tmp_path / "words.toml"
        path.write_bytes(text.encode())
        return read_vocabulary(path)

    return read


def test_every_quadrant_has_a_word_of_its_own():
    words = [Vocabulary().word(quadrant) for quadrant in QUADRANT.classes]
    assert words == ["happy", "tense", "sad", "calm"]


def test_moods_are_found_by_word_and_by_quadrant():
    assert Vocabulary().quadrant("SAD") == "Q3"
    assert Vocabulary().quadrant("q2") == "Q2"
    expected = "excited: --from and --to take a quadrant: happy, tense, sad or calm"
    with pytest.raises(MoodError, match=expected):
        Vocabulary().quadrant("excited")


def test_places_on_the_plane():
    sectors = {
        "excited": (0.9, 0.6),
        "happy": (0.6, 0.9),
        "serene": (0.4, 0.9),
        "calm": (0.1, 0.6),
        "sad": (0.1, 0.4),
        "gloomy": (0.4, 0.1),
        "tense": (0.6, 0.1),
        "angry": (0.9, 0.4),
        "neutral": (0.55, 0.45),
    }
    assert tuple(sectors) == PLACES
    for place, (arousal, valence) in sectors.items():
        assert place_of(arousal, valence) == place
    # Borders: the circle of the centre is open, and sectors begin at their first edge.
    assert [place_of(0.5, 0.601), place_of(0.5, 0.599)] == ["serene", "neutral"]
    assert [place_of(1, 0.5), place_of(0.9, 0.9), place_of(0, 0.5)] == ["excited", "happy", "sad"]
    assert {place_of(a / 10, v / 10) for a in range(11) for v in range(11)} == set(PLACES)


def test_words_of_a_recording(read):
    vocabulary = read('Q2 = "zornig"\ngloomy = "düster"\nneutral = "mittel"')
    assert vocabulary.words_of("Q3", arousal=0.4, valence=0.1) == ("sad", "düster")
    assert vocabulary.words_of("Q3", arousal=0.1, valence=0.4) == ("sad",)
    assert vocabulary.words_of("Q2", arousal=0.6, valence=0.1) == ("zornig",)
    assert vocabulary.words_of("Q1", arousal=0.52, valence=0.55) == ("mittel",)
    # Where the heads disagree, both words are there.
    assert Vocabulary().words_of("Q1", arousal=0.1, valence=0.6) == ("happy", "calm")


def test_words_that_name_a_recordings_mood():
    here = {"arousal": 0.4, "valence": 0.1}
    for mood in ("Gloomy", "sad", "q3"):
        assert Vocabulary().has_word(mood, "Q3", **here)
    for mood in ("happy", "neutral", "Q1"):
        assert not Vocabulary().has_word(mood, "Q3", **here)
    assert Vocabulary().has_word("sad", "Q3", arousal=0.5, valence=0.5)  # in the centre, too
    with pytest.raises(MoodError, match=r"blue: unknown mood; choose from .*gloomy"):
        Vocabulary().has_word("blue", "Q3", **here)


def test_some_words_may_be_changed(read):
    vocabulary = read('Q2 = "zornig"\nQ4 = " 平静 "\n')
    assert [vocabulary.word(q) for q in QUADRANT.classes] == ["happy", "zornig", "sad", "平静"]
    assert vocabulary.quadrant("Zornig") == "Q2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Q1 = ", "not TOML"),
        ('Q5 = "odd"', "unknown name 'Q5'; choose from Q1, Q2, Q3, Q4, excited"),
        ("Q1 = 1", "Q1: must be a non-empty string"),
        ('Q1 = "  "', "Q1: must be a non-empty string"),
        ('Q1 = "two\\nlines"', "Q1: must be a non-empty string"),
        ('Q1 = "SAD"', "'sad' is used twice"),
        ('Q1 = "q4"', "'q4' is used twice"),
        ('gloomy = "Tense"', "'tense' is used twice"),
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
