"""Adapters of music corpora: published quadrants, ratings or mood words; grouped by artist."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from quadpred.audio.folders import ENDINGS, recordings
from quadpred.labels import QUADRANT
from quadpred.train.corpora.corpus import (
    MIDI,
    Archive,
    Corpus,
    OnWarning,
    RawItem,
    number,
    read_rows,
)
from quadpred.train.corpora.quadrants import Scale, from_words

__all__ = ["MUSIC"]


def _4q(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """Q1 to Q4 with SONG.mp3, or recordings anywhere and an annotations table: Song, Quadrant.

    Artists and mood words are in the metadata table, which has the column Song too.
    Source: the readme.txt in the archive; http://mir.dei.uc.pt/downloads.html.
    """
    songs = _by_stem(folder)
    metadata = _table(folder, "panda_dataset_taffc_metadata.csv", on_warning, ["Song", "Artist"])
    metadata_of = {row["Song"]: row for row in metadata}
    table = _one(folder, "panda_dataset_taffc_annotations.csv")
    if table:
        rows = read_rows(table, on_warning, ["Song", "Quadrant"])
        quadrants = {row["Song"]: row["Quadrant"] for row in rows}
    else:
        quadrants = {song: path.parent.name for song, path in songs.items()}
    for song, quadrant in quadrants.items():
        row = metadata_of.get(song, {})
        tags = _words(row.get("MoodsStrSplit", ""), ";")
        if path := _checked(songs.get(song), song, quadrant, table or folder, on_warning):
            yield RawItem(path, _name(row.get("Artist", "")), quadrant=quadrant, tags=tags)


def _ch818(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """CH818_Quads.csv with Songs and Quads, or any table with a song, its valence and arousal.

    The corpus is available on request, and no public page describes its own table. A table needs
    the columns valence and arousal (from -10 to 10) and one of song, songs, id or file; artist is
    optional, and case does not matter.
    Source: Hu and Yang, "Cross-dataset and cross-cultural music mood prediction", IEEE Trans.
    Affective Computing 8, 2017, and https://github.com/juansgomez87/datasets_emotion for the
    scale; https://github.com/juansgomez87/lang-sens-mer (generate_dataset.py, models/settings.py)
    for the quadrants of the EUSIPCO paper.
    """
    songs = _by_stem(folder)
    for table in sorted(folder.rglob("*.csv")):
        for row in read_rows(table, on_warning):
            cells = {column.lower(): value for column, value in row.items()}
            song = next((cells[c] for c in ("songs", "song", "id", "file") if cells.get(c)), "")
            stem = Path(song).stem if Path(song).suffix[1:].lower() in ENDINGS else Path(song).name
            quadrant = cells.get("quads", "")
            if not song or not (quadrant or "valence" in cells):
                on_warning(
                    f"{table}: columns are neither songs and quads nor songs, valence and arousal"
                )
                break
            rating = None if quadrant else _rating(cells, "arousal", "valence")
            path = _checked(songs.get(stem), song, quadrant or None, table, on_warning)
            if path and _on_scale(rating, CH818, song, table, on_warning):
                yield RawItem(path, _name(cells.get("artist", "")), "", quadrant, rating)


CH818 = Scale(-10, 10)


def _deam(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """MEMD_audio/ID.mp3; static_annotations_averaged_songs_*.csv; metadata_201[345].csv.

    The annotations are in annotations/annotations averaged per song/song_level, with the columns
    song_id, valence_mean and arousal_mean (the header has spaces) on a nine-point scale. There is
    one table of artists per year; their column names differ.
    Source: https://cvml.unige.ch/databases/DEAM; Aljanaki, Yang and Soleymani, PLoS ONE 12, 2017.
    """
    songs = _by_stem(folder)
    artists: dict[str, str] = {}
    for table in sorted(folder.rglob("metadata_201?.csv")):
        for row in read_rows(table, on_warning):
            cells = {column.lower(): value for column, value in row.items()}
            song = cells.get("song_id") or cells.get("id", "")
            artists[song] = _name(cells.get("artist", ""))
    if not artists:
        on_warning(f"{folder}: no metadata_2013.csv etc.: each song becomes its own group")
    for table in sorted(folder.rglob("static_annotations_averaged_songs_*.csv")):
        for row in read_rows(table, on_warning, ["song_id", "valence_mean", "arousal_mean"]):
            song = row["song_id"]
            rating = _rating(row, "arousal_mean", "valence_mean")
            path = _checked(songs.get(song), song, None, table, on_warning)
            if path and _on_scale(rating, DEAM, song, table, on_warning):
                yield RawItem(path, artists.get(song, ""), rating=rating)


DEAM = Scale(1, 9)


def _pmemo(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """chorus/ID.mp3; annotations/static_annotations.csv; metadata.csv with musicId and artist.

    Ratings are in the columns Arousal(mean) and Valence(mean), from 0 to 1. Some songs have none.
    Source: https://github.com/HuiZhangDB/PMEmo and its static_MER.ipynb.
    """
    songs = _by_stem(folder)
    metadata = _table(folder, "metadata.csv", on_warning, ["musicId", "artist"])
    artists = {row["musicId"]: _name(row["artist"]) for row in metadata}
    columns = ["musicId", "Arousal(mean)", "Valence(mean)"]
    table = _one(folder, "static_annotations.csv") or folder / "annotations/static_annotations.csv"
    for row in read_rows(table, on_warning, columns):
        song = row["musicId"]
        rating = _rating(row, *columns[1:])
        path = _checked(songs.get(song), song, None, table, on_warning)
        if path and _on_scale(rating, PMEMO, song, table, on_warning):
            yield RawItem(path, artists.get(song, ""), rating=rating)


PMEMO = Scale(0, 1)


def _emopia(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """midis/Qn_SONG_CLIP.mid, where SONG is an eleven-character YouTube identifier.

    The name holds the label, which label.csv (ID, 4Q, annotator) repeats. Splits by song are
    published separately: train.csv, val.csv and test.csv with the column fname. They are used if
    they are in the folder. A recording replaces the MIDI file of the same name.
    Source: https://zenodo.org/records/5257995; https://github.com/seungheondoh/EMOPIA_cls
    (dataset/split).
    """
    splits = {}
    for split in ("train", "val", "test"):
        for table in sorted(folder.rglob(f"{split}.csv")):
            splits.update({row["fname"]: split for row in read_rows(table, on_warning, ["fname"])})
    clips = {path.stem: path for path in recordings(folder, {MIDI[1:]})} | _by_stem(folder)
    for stem, path in sorted(clips.items()):
        if name := re.fullmatch(r"(Q[1-4])_(.{11})_\d+", stem):
            yield RawItem(path, name[2], splits.get(stem, ""), name[1])
        else:
            on_warning(f"{path}: name is not Qn_SONG_CLIP")


def _merge(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """Q1 to Q4 with SONG.mp3; merge_*_metadata.csv; tvt_dataframes/tvt_70_15_15/*.csv.

    The metadata has the columns Song (Audio_Song in the bimodal sets), Quadrant, Artist and
    MoodsAll. Of the two published splits, the one with the larger training set is read: one table
    with Song each for train, validate and test. Some artists are in several splits.
    Source: https://zenodo.org/records/13939205.
    """
    tables = sorted(folder.rglob("merge_*_metadata.csv"))
    for other in tables[1:]:
        on_warning(f"{other}: left out, as {tables[0].name} holds the same songs")
    for table in tables[:1]:
        songs = _by_stem(table.parent)
        splits = {}
        for part in sorted(table.parent.glob("tvt_dataframes/tvt_70_15_15/*.csv")):
            if name := re.match(r"tvt_70_15_15_(train|validate|test)_", part.name):
                splits.update({_song(row): name[1] for row in read_rows(part, on_warning)})
        for row in read_rows(table, on_warning, ["Quadrant", "Artist"]):
            song, quadrant = _song(row), row["Quadrant"]
            tags = _words(row.get("MoodsAll", ""), ",")
            if path := _checked(songs.get(song), song, quadrant, table, on_warning):
                yield RawItem(path, _name(row["Artist"]), splits.get(song, ""), quadrant, tags=tags)


def _song(row: dict[str, str]) -> str:
    return row.get("Song") or row.get("Audio_Song", "")


def _jamendo(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """autotagging_moodtheme-{train,validation,test}.tsv of split-0, and NN/TRACK.mp3 or .low.mp3.

    Columns are TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION and TAGS, the last repeated. Mood
    words determine the quadrant (see `from_words`); tracks without a quadrant are left out.
    Source: https://github.com/MTG/mtg-jamendo-dataset (README.md, data/splits/split-0).
    """
    tracks = {path.stem.removesuffix(".low"): path for path in recordings(folder)}
    for split in ("train", "validation", "test"):
        name = f"autotagging_moodtheme-{split}.tsv"
        table = next(iter(sorted(folder.rglob(f"split-0/{name}"))), None) or folder / name
        for cells in read_rows(table, on_warning, ["ARTIST_ID", "PATH", "TAGS"], "\t"):
            tags = tuple(tag.removeprefix("mood/theme---") for tag in cells["TAGS"].split("\t"))
            if quadrant := from_words(tags):
                track = Path(cells["PATH"]).stem
                if path := _checked(tracks.get(track), cells["PATH"], quadrant, table, on_warning):
                    yield RawItem(path, cells["ARTIST_ID"], split, quadrant, tags=tags)


def _custom(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """One folder per class, named Q1 to Q4 or with a word that stands for a quadrant.

    A folder between that one and the recordings is their group, such as an artist.
    """
    for path in recordings(folder):
        parents = path.relative_to(folder).parts[:-1]
        quadrants = {
            name: name.upper() if name.upper() in QUADRANT.classes else from_words([name])
            for name in parents
        }
        labels = [name for name in parents if quadrants[name]]
        if labels:
            group = parents[parents.index(labels[-1]) + 1 :]
            yield RawItem(path, "/".join(group), quadrant=quadrants[labels[-1]])
        else:
            on_warning(f"{path}: not in a folder named Q1, Q2, Q3 or Q4")


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in recordings(folder)}


def _one(folder: Path, name: str) -> Path | None:
    return next(iter(sorted(folder.rglob(name))), None)


def _table(
    folder: Path, name: str, on_warning: OnWarning, columns: Iterable[str]
) -> Iterator[dict[str, str]]:
    """Yield the rows of the table of artists; if it is missing, warn."""
    if path := _one(folder, name):
        yield from read_rows(path, on_warning, columns)
    else:
        on_warning(f"{folder / name}: no such file: each song becomes its own group")


def _checked(
    path: Path | None, song: str, quadrant: str | None, table: Path, on_warning: OnWarning
) -> Path | None:
    """Return a song's recording; warn if it is missing or its quadrant is invalid."""
    if path is None:
        on_warning(f"{table}: {song}: no recording with this name")
        return None
    if quadrant is not None and quadrant not in QUADRANT.classes:
        on_warning(f"{table}: {song}: {quadrant!r} is not one of Q1, Q2, Q3, Q4")
        return None
    return path


def _rating(row: dict[str, str], arousal: str, valence: str) -> tuple[float, float]:
    return number(row.get(arousal, "")), number(row.get(valence, ""))


def _on_scale(
    rating: tuple[float, float] | None, scale: Scale, song: str, table: Path, on_warning: OnWarning
) -> bool:
    if rating is None or rating in scale:
        return True
    on_warning(f"{table}: {song}: arousal and valence must be from {scale.low:g} to {scale.high:g}")
    return False


def _name(artist: str) -> str:
    """Normalise case and spaces, in which spellings of one name differ."""
    return " ".join(artist.split()).casefold()


def _words(text: str, separator: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(separator) if (word := part.strip().lower()))


def _deam_part(part: str, file: str, megabytes: int, sha256: str) -> Archive:
    url = f"https://cvml.unige.ch/databases/DEAM/{file}"
    return Archive(part, url, megabytes, f"sha256:{sha256}")


MUSIC = (
    Corpus(
        name="4q",
        title="4Q-Emotion",
        what="900 clips of 30 s, mostly sung in English",
        kind="music",
        hours=7.5,
        language="english",
        labels="quadrant, mood words",
        licence="excerpts of commercial music: research only",
        url="http://mir.dei.uc.pt/downloads.html",
        get="by hand, from its page",
        layout="Q1, Q2, Q3, Q4 with SONG.mp3, or panda_dataset_taffc_annotations.csv",
        read=_4q,
        folders=("MER_audio_taffc_dataset", "4Q_emotions"),
    ),
    Corpus(
        name="ch818",
        title="CH-818",
        what="818 clips of 30 s of Chinese pop",
        kind="music",
        hours=6.8,
        language="mandarin",
        labels="arousal, valence in [-10, 10]",
        licence="excerpts of commercial music: research only",
        url="https://doi.org/10.1109/TAFFC.2016.2523503",
        get="by hand, from its authors on request",
        layout="recordings and CH818_Quads.csv, or a CSV with song, valence and arousal",
        read=_ch818,
        folders=("CH818", "CH-818"),
        scale=CH818,
    ),
    Corpus(
        name="deam",
        title="DEAM",
        what="1,802 songs and excerpts of 45 s, many genres",
        kind="music",
        hours=25,
        language="",
        labels="arousal, valence in [1, 9]",
        licence="Creative Commons, by song",
        url="https://cvml.unige.ch/databases/DEAM",
        get="fetch",
        layout="MEMD_audio/ID.mp3 and static_annotations_averaged_songs_*.csv",
        read=_deam,
        folders=("DEAM",),
        archives=(
            # The publisher gives no checksums: these come from other projects' downloads.
            _deam_part(
                "audio",
                "DEAM_audio.zip",
                1_343,
                "e2814325f573ade8caebc697f0efcfdf7207142b737d72558a416117ca591353",
            ),
            _deam_part(
                "annotations",
                "DEAM_Annotations.zip",
                5,
                "809b0feb4ba6196c1eda9b2b7b33b892b11fa71457cfceb0d47e832ed1a5f15f",
            ),
            _deam_part(
                "metadata",
                "metadata.zip",
                1,
                "3d1d5ab42e852803a770f2cfbd685c6b464e1ebe76f26b0e10954597902b90f8",
            ),
        ),
        scale=DEAM,
    ),
    Corpus(
        name="pmemo",
        title="PMEmo",
        what="794 choruses of pop songs, mostly sung in English",
        kind="music",
        hours=8.4,
        language="english",
        labels="arousal, valence in [0, 1]",
        licence="excerpts of commercial music: research only",
        url="https://github.com/HuiZhangDB/PMEmo",
        get="by hand, from its page",
        layout="chorus/ID.mp3 and annotations/static_annotations.csv",
        read=_pmemo,
        folders=("PMEmo2019", "PMEmo"),
        scale=PMEMO,
    ),
    Corpus(
        name="emopia",
        title="EMOPIA",
        what="1,087 clips of 387 pop songs on the piano, as MIDI",
        kind="music",
        hours=11,
        language="",
        labels="quadrant",
        licence="CC BY-NC-SA 4.0",
        url="https://zenodo.org/records/5257995",
        get="fetch; rendering needs FluidSynth and a soundfont",
        layout="midis/Qn_SONG_CLIP.mid",
        read=_emopia,
        folders=("EMOPIA_2.2", "EMOPIA_2.1", "EMOPIA_1.0", "EMOPIA"),
        archives=(
            Archive(
                "midi",
                "https://zenodo.org/records/5257995/files/EMOPIA_2.2.zip",
                6,
                "md5:bad5171786a4898f37fc2678e99afd94",
            ),
        ),
    ),
    Corpus(
        name="merge",
        title="MERGE",
        what="3,554 clips of 30 s, mostly sung in English",
        kind="music",
        hours=30,
        language="english",
        labels="quadrant, mood words",
        licence="CC BY-NC 4.0",
        url="https://zenodo.org/records/13939205",
        get="fetch; no checksum is published",
        layout="merge_*_metadata.csv beside Q1, Q2, Q3, Q4 with SONG.mp3",
        read=_merge,
        folders=("MERGE_Audio_Complete", "MERGE_Audio_Balanced"),
        archives=(
            Archive(
                "audio",
                "https://zenodo.org/records/13939205/files/MERGE_Audio_Complete.zip",
                1_200,
            ),
        ),
    ),
    Corpus(
        name="jamendo",
        title="MTG-Jamendo mood/theme",
        what="18,486 tracks of independent artists",
        kind="music",
        hours=None,
        language="",
        labels="mood and theme tags (59)",
        licence="Creative Commons, by track; metadata CC BY-NC-SA 4.0",
        url="https://github.com/MTG/mtg-jamendo-dataset",
        get="by hand, with its own script (152 GB)",
        layout="split-0/autotagging_moodtheme-*.tsv and NN/TRACK.mp3",
        read=_jamendo,
        folders=("mtg-jamendo-dataset", "mtg-jamendo"),
    ),
    Corpus(
        name="custom",
        title="Your own music",
        what="one folder per class: Q1, Q2, Q3, Q4 or words such as happy and sad",
        kind="music",
        hours=None,
        language="",
        labels="quadrant",
        licence="unknown",
        url="",
        get="your own files; for a CSV of labels use train manifest",
        layout="Q1/ARTIST/*.mp3 and so on",
        read=_custom,
    ),
)
