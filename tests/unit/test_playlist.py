import itertools
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from helpers.summaries import clip
from quadpred.library import artists
from quadpred.library.artists import limit_per_artist
from quadpred.library.moods import MoodError
from quadpred.library.playlist import mood_playlist, path_playlist
from quadpred.library.playlist_files import (
    PlaylistError,
    fits_m3u8,
    read_options,
    to_json,
    to_m3u8,
    to_nsp,
)
from quadpred.library.scenes import SCENES, Region, scene_playlist
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
    with pytest.raises(SummaryError, match=r"every Q1 song is longer than --max-minutes 1\.65"):
        mood_playlist(library, "Q1", seconds=99)
    with pytest.raises(SummaryError, match="no song is confidently Q2; try --uncertain"):
        mood_playlist(library, "Q2")
    with pytest.raises(SummaryError, match=r"^no song is Q2$"):
        mood_playlist(library, "Q2", uncertain=True)


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


@pytest.mark.parametrize("seconds", [450, 600, 900, HOUR])
def test_a_way_has_the_least_sum_of_squared_steps_of_all_that_fit(seconds):
    """Compared with all sequences of small libraries."""
    here, there = np.array([0.25, 0.25]), np.array([0.75, 0.75])

    def cost(songs):
        stops = np.vstack([here, places(songs), there])
        return (np.diff(stops, axis=0) ** 2).sum()

    for seed in range(30):
        library = scattered(7, seed)
        ordered = sorted(library, key=lambda song: song.valence + song.arousal)
        fitting = [
            songs
            for count in range(2, len(library) + 1)
            for songs in itertools.combinations(ordered, count)
            if (songs[0].quadrant, songs[-1].quadrant) == ("Q3", "Q1")
            and sum(song.duration for song in songs) <= seconds
        ]
        if fitting:
            way = path_playlist(library, "Q3", "Q1", seconds=seconds)
            assert names(way) == names(min(fitting, key=cost))
        else:
            with pytest.raises(SummaryError, match="no "):
                path_playlist(library, "Q3", "Q1", seconds=seconds)


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
    with pytest.raises(SummaryError, match=r"no song is confidently Q2 \(tense\); try --uncertain"):
        path_playlist(library, "Q2", "Q1", seconds=HOUR)
    with pytest.raises(SummaryError, match="no playlist from Q3 to Q1 fits in 5 min"):
        path_playlist(library, "Q3", "Q1", seconds=300)
    assert len(path_playlist(library, "Q3", "Q1", seconds=float("inf"))) == 2


def test_a_way_through_a_large_library():
    way = path_playlist(scattered(20_000), "Q3", "Q1", seconds=HOUR)
    assert steps(way).max() < 0.1


def listed(clips, folder=None):
    text = to_m3u8(clips, folder, {"mood": "sad"})
    assert text.startswith('#EXTM3U\n#QUADPRED:{"mood": "sad"}\n')
    return text.split("\n")[2:-1]


def test_m3u8_says_length_title_and_path():
    lines = listed([clip("a, b/Tïtle.mp3", duration=180.6)])
    assert lines == ["#EXTINF:181,Tïtle", "/music/a, b/Tïtle.mp3"]


def test_songs_below_the_playlist_are_relative(tmp_path):
    inside = clip("inside", file=str(tmp_path / "music" / "a.mp3"))
    lines = listed([inside, clip("b.mp3")], tmp_path)
    assert lines[1::2] == [os.path.join("music", "a.mp3"), "/music/b.mp3"]
    lines = listed([inside], tmp_path / "music" / "lists")
    assert lines[1] == inside.file


def test_the_folder_of_a_playlist_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    song = clip("a", file=str(tmp_path / "real" / "a.mp3"))
    assert listed([song], tmp_path / "link")[1] == "a.mp3"


@pytest.mark.parametrize("name", ["#1.mp3", "-v.mp3", " a.mp3", "~a.mp3", "http:/a.mp3", "c:a.mp3"])
def test_names_that_look_like_something_else(tmp_path, name):
    lines = listed([clip(file=str(tmp_path / name))], tmp_path)
    assert lines[1] == f"./{name}"
    assert Path(tmp_path, lines[1]) == tmp_path / name


@pytest.mark.parametrize("name", ["two\nlines.mp3", "a\rb.mp3", "a\u2028b.mp3", "\udcff.mp3"])
def test_names_that_no_playlist_can_hold(name):
    assert not fits_m3u8(clip(name), None)
    assert fits_m3u8(clip("good.mp3"), None)


def test_the_name_of_a_folder_above_the_playlist_does_not_matter(tmp_path):
    folder = tmp_path / "a\nb"
    song = clip(file=str(folder / "a.mp3"))
    assert fits_m3u8(song, folder)
    assert not fits_m3u8(song, None)


def test_the_order_of_the_library_does_not_matter():
    library = scattered(200)
    other = [library[at] for at in np.random.default_rng(1).permutation(len(library))]
    for songs in (library, other):
        assert mood_playlist(songs, "sad") == mood_playlist(library, "sad")
        assert scene_playlist(songs, "focus", seconds=HOUR) == scene_playlist(
            library, "focus", seconds=HOUR
        )
        assert path_playlist(songs, "Q3", "Q1", seconds=HOUR) == path_playlist(
            library, "Q3", "Q1", seconds=HOUR
        )


# Words, scenes and artists


def test_words_of_places_on_the_plane():
    library = [
        clip("excited", arousal=0.9, valence=0.6),
        clip("happy", arousal=0.6, valence=0.9),
        clip("tense", "Q2", arousal=0.6, valence=0.1),
    ]
    assert names(mood_playlist(library, "excited")) == ["excited"]
    assert names(mood_playlist(library, "happy")) == ["excited", "happy"]  # the whole quadrant
    with pytest.raises(MoodError, match="blue: unknown mood"):
        mood_playlist(library, "blue")
    with pytest.raises(SummaryError, match="no song is confidently gloomy"):
        mood_playlist(library, "gloomy")


def test_scenes_choose_songs_of_their_region_in_their_order():
    library = scattered(500)
    for name, scene in SCENES.items():
        songs = scene_playlist(library, name, seconds=HOUR)
        assert len(songs) > 5
        assert sum(song.duration for song in songs) <= HOUR
        arousal = [song.arousal for song in songs]
        if not isinstance(scene, Region):
            assert (songs[0].quadrant, songs[-1].quadrant) == (scene.start, scene.end)
            continue
        assert all(scene.holds(song) for song in songs)
        if scene.order != "steady":
            assert arousal == sorted(arousal, reverse=scene.order == "falling")
        best = sorted(map(scene.distance, filter(scene.holds, library)))
        assert scene.distance(min(songs, key=scene.distance)) == best[0]
    # The region's border belongs to it.
    border = clip("border", "Q4", arousal=0.3, valence=0.4)
    assert scene_playlist([border], "sleep", seconds=HOUR) == [border]
    with pytest.raises(SummaryError, match="in the region of --scene party"):
        scene_playlist([border], "party", seconds=HOUR)
    with pytest.raises(SummaryError, match=r"^no song is in the region of --scene party$"):
        scene_playlist([border], "party", seconds=HOUR, uncertain=True)
    with pytest.raises(SummaryError, match="every song in the region of --scene sleep is longer"):
        scene_playlist([border], "sleep", seconds=border.duration / 2)


def test_a_limit_per_artist(monkeypatch):
    library = scattered(60)
    monkeypatch.setattr(artists, "artist_of", lambda file: "AB"[int(file[-5]) % 2])

    def choose(songs):
        return path_playlist(songs, "Q3", "Q1", seconds=HOUR)

    assert len(choose(library)) > 6
    songs = limit_per_artist(choose, library, 3)
    assert (songs[0].quadrant, songs[-1].quadrant) == ("Q3", "Q1")
    assert 2 <= len(songs) <= 6
    assert all(
        sum(artists.artist_of(song.file) == artist for song in songs) <= 3 for artist in "AB"
    )
    monkeypatch.setattr(artists, "artist_of", lambda file: "")
    assert limit_per_artist(choose, library, 1) == choose(library)


def test_artists_are_read_from_tags(tmp_path):
    mutagen_flac = pytest.importorskip("mutagen.flac")
    import soundfile

    soundfile.write(tmp_path / "a.flac", np.zeros(16_000), 16_000)
    file = mutagen_flac.FLAC(tmp_path / "a.flac")
    file["artist"] = "Erik Satie"
    file.save()
    assert artists.artist_of(str(tmp_path / "a.flac")) == "erik satie"
    assert artists.artist_of(str(tmp_path / "missing.mp3")) == ""


def ogg_page(*packets):
    """The first page of an Ogg stream."""
    sizes = bytes(map(len, packets))
    header = struct.pack("<4sBBqIII", b"OggS", 0, 2, 0, 1, 0, 0)
    return header + bytes([len(sizes)]) + sizes + b"".join(packets)


DAMAGED = {
    "no packet.opus": ogg_page() + ogg_page(b"OpusHead"),
    "short.spx": ogg_page(b"Speex   1.2") + ogg_page(),
    "short.wv": b"wvpk" + struct.pack("<IHBBIIIII", 24, 0x403, 0, 0, 99, 0, 99, 0xF << 23, 0),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_has_no_artist(name, tmp_path):
    pytest.importorskip("mutagen")
    (tmp_path / name).write_bytes(DAMAGED[name])
    assert artists.artist_of(str(tmp_path / name)) == ""


def test_an_artist_that_is_no_text(tmp_path):
    apev2 = pytest.importorskip("mutagen.apev2")
    path = tmp_path / "a.ape"
    path.write_bytes(b"MAC " + bytes(100))
    tags = apev2.APEv2()
    tags["artist"] = apev2.APEValue(b"picture", apev2.BINARY)
    tags.save(path)
    assert artists.artist_of(str(path)) == ""


# Files


@pytest.mark.parametrize("summary", ["/a/summary.csv", "/caf\udce9/\\xe9.csv"])
def test_options_are_saved_with_a_playlist(tmp_path, summary):
    options = {"summary": summary, "mood": "sad", "minutes": 60.0}
    song = clip("a.mp3", "Q3")
    (tmp_path / "a.m3u8").write_text(to_m3u8([song], None, options))
    (tmp_path / "a.json").write_text(to_json([song], options))
    for name in ("a.m3u8", "a.json"):
        assert read_options(tmp_path / name) == options
    assert json.loads((tmp_path / "a.json").read_text())["songs"][0]["file"] == "/music/a.mp3"
    for name, content in (("b.m3u8", "#EXTM3U\n"), ("b.json", "[]"), ("c.json", "{")):
        (tmp_path / name).write_text(content)
        with pytest.raises(PlaylistError, match="did not make this playlist"):
            read_options(tmp_path / name)


def test_smart_playlists_of_navidrome():
    assert json.loads(to_nsp("Sad", "sad"))["all"] == [{"is": {"mood": "sad"}}]
    sleep = json.loads(to_nsp("Sleep", SCENES["sleep"]))
    assert sleep["all"] == [
        {"inTheRange": {"quadpred_arousal": [0, 0.3]}},
        {"inTheRange": {"quadpred_valence": [0.4, 1]}},
    ]
    assert (sleep["sort"], sleep["order"]) == ("quadpred_arousal", "desc")
