import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from helpers.summaries import clip
from quadpred.library.playlist import mood_playlist, path_playlist, to_m3u8
from quadpred.library.summary import SummaryError

HOUR = 3600


def names(clips):
    return [clip.path for clip in clips]


def places(clips):
    return np.array([(clip.valence, clip.arousal) for clip in clips])


def steps(clips):
    return np.hypot(*np.diff(places(clips), axis=0).T)


def scattered(count, seed=0):
    """Songs anywhere in the plane, of the quadrants that they lie in."""
    random = np.random.default_rng(seed)
    made = []
    for number, (valence, arousal) in enumerate(random.uniform(size=(count, 2))):
        quadrant = {(1, 1): "Q1", (0, 1): "Q2", (0, 0): "Q3", (1, 0): "Q4"}[
            int(valence > 0.5), int(arousal > 0.5)
        ]
        duration = float(random.uniform(100, 300))
        values = {"valence": valence, "arousal": arousal, "duration": duration}
        made.append(clip(f"{number:05}.mp3", quadrant, **values))
    return made


def test_a_mood_is_of_its_quadrant_and_the_surest_come_first():
    library = [
        clip("b", "Q4", confidence=0.7),
        clip("a", "Q4", confidence=0.7),
        clip("c", "Q4", confidence=0.9),
        clip("d", "Q4", uncertain=True),
        clip("e", "Q1"),
    ]
    assert names(mood_playlist(library, "Q4")) == ["c", "a", "b"]
    assert names(mood_playlist(library, "Q4", uncertain=True)) == ["c", "d", "a", "b"]
    assert names(mood_playlist(library[::-1], "Q4")) == ["c", "a", "b"]


def test_a_mood_in_so_many_minutes():
    library = [
        clip("long", duration=500.0, confidence=0.9),
        clip("longest", duration=2000.0, confidence=0.8),
        clip("short", duration=100.0, confidence=0.7),
    ]
    assert names(mood_playlist(library, "Q1", seconds=600)) == ["long", "short"]
    with pytest.raises(SummaryError, match=r"every Q1 song is longer than 1\.65 minutes"):
        mood_playlist(library, "Q1", seconds=99)
    with pytest.raises(SummaryError, match="no song is confidently Q2; try --uncertain"):
        mood_playlist(library, "Q2")


def test_a_song_is_there_once():
    twice = [clip("a"), clip("b", file="/music/a")]
    assert len(mood_playlist(twice, "Q1")) == 1


@pytest.mark.parametrize("ends", list(itertools.permutations(("Q1", "Q2", "Q3", "Q4"), 2)))
def test_a_way_leads_from_mood_to_mood_in_small_steps(ends):
    library = scattered(500)
    way = path_playlist(library, *ends, seconds=HOUR)
    assert (way[0].quadrant, way[-1].quadrant) == ends
    assert sum(song.duration for song in way) <= HOUR
    assert len(set(names(way))) == len(way) >= 8
    assert steps(way).max() < 0.2
    assert names(way) == names(path_playlist(library[::-1], *ends, seconds=HOUR))


def test_a_way_has_the_least_sum_of_squared_steps():
    library = scattered(9, seed=3)
    here, there = np.array([0.25, 0.25]), np.array([0.75, 0.75])

    def cost(songs):
        stops = np.vstack([here, places(songs), there])
        return (np.diff(stops, axis=0) ** 2).sum()

    ordered = sorted(library, key=lambda song: song.valence + song.arousal)
    all_ways = [
        songs
        for count in range(2, len(library) + 1)
        for songs in itertools.combinations(ordered, count)
        if (songs[0].quadrant, songs[-1].quadrant) == ("Q3", "Q1")
    ]
    best = min(all_ways, key=cost)
    assert names(path_playlist(library, "Q3", "Q1", seconds=HOUR)) == names(best)


def test_a_way_leaves_out_what_is_uncertain_unless_it_is_asked_for():
    library = [clip("sad", "Q3"), clip("happy", "Q1")]
    library.append(clip("between", "Q4", valence=0.5, arousal=0.5, uncertain=True))
    assert names(path_playlist(library, "Q3", "Q1", seconds=HOUR)) == ["sad", "happy"]
    every = path_playlist(library, "Q3", "Q1", seconds=HOUR, uncertain=True)
    assert names(every) == ["sad", "between", "happy"]


def test_ways_that_are_none():
    library = [clip("sad", "Q3"), clip("happy", "Q1")]
    with pytest.raises(SummaryError, match="--from and --to must differ"):
        path_playlist(library, "Q1", "Q1", seconds=HOUR)
    with pytest.raises(SummaryError, match="no song is confidently Q2"):
        path_playlist(library, "Q2", "Q1", seconds=HOUR)
    with pytest.raises(
        SummaryError, match="no playlist from Q3 to Q1 fits in 5 minutes; raise --max-minutes"
    ):
        path_playlist(library, "Q3", "Q1", seconds=300)
    assert len(path_playlist(library, "Q3", "Q1", seconds=float("inf"))) == 2


def test_a_way_through_a_large_library():
    way = path_playlist(scattered(20_000), "Q3", "Q1", seconds=HOUR)
    assert steps(way).max() < 0.1


def listed(clips, folder=None):
    messages = []
    text = to_m3u8(clips, folder, on_message=messages.append)
    assert text.startswith("#EXTM3U\n")
    return text.split("\n")[1:-1], messages


def test_m3u8_says_length_title_and_path():
    lines, messages = listed([clip("a, b/Tïtle.mp3", duration=180.6)])
    assert lines == ["#EXTINF:181,Tïtle", "/music/a, b/Tïtle.mp3"]
    assert messages == []


def test_songs_below_the_playlist_are_relative(tmp_path):
    inside = clip("inside", file=str(tmp_path / "music" / "a.mp3"))
    lines, _ = listed([inside, clip("b.mp3")], tmp_path)
    assert lines[1::2] == [os.path.join("music", "a.mp3"), "/music/b.mp3"]
    lines, _ = listed([inside], tmp_path / "music" / "lists")
    assert lines[1] == inside.file


def test_the_folder_of_a_playlist_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    song = clip("a", file=str(tmp_path / "real" / "a.mp3"))
    assert listed([song], tmp_path / "link")[0][1] == "a.mp3"


@pytest.mark.parametrize("name", ["#1.mp3", "-v.mp3", " a.mp3", "~a.mp3", "http:/a.mp3", "c:a.mp3"])
def test_names_that_look_like_something_else(tmp_path, name):
    lines, _ = listed([clip(file=str(tmp_path / name))], tmp_path)
    assert lines[1] == f"./{name}"
    assert Path(tmp_path, lines[1]) == tmp_path / name


@pytest.mark.parametrize("name", ["two\nlines.mp3", "a\rb.mp3", "a\u2028b.mp3", "\udcff.mp3"])
def test_names_that_no_playlist_can_hold(name):
    lines, messages = listed([clip(name), clip("good.mp3")])
    assert lines[1::2] == ["/music/good.mp3"]
    assert len(messages) == 1
    assert "left out" in messages[0]
