"""Adapters of speech corpora: published splits, grouped by speaker."""

import re
from collections.abc import Iterator
from pathlib import Path

from quadpred.audio.folders import recordings
from quadpred.train.corpora.corpus import Archive, Corpus, OnWarning, RawItem, read_rows
from quadpred.train.corpora.quadrants import from_words

__all__ = ["SPEECH"]


def _librispeech(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """SUBSET/READER/CHAPTER/READER-CHAPTER-NUMBER.flac; each reader is in one subset.

    Source: the corpus's README.TXT, section 2.1; https://www.openslr.org/12.
    """
    for path in recordings(folder, {"flac"}):
        name = re.fullmatch(r"(\d+)-\d+-\d+", path.stem)
        if name:
            yield RawItem(path, name[1], path.parents[2].name)
        else:
            on_warning(f"{path}: name is not READER-CHAPTER-NUMBER.flac")


def _aishell(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """data_aishell/wav/{train,dev,test}/SPEAKER/BAC009SPEAKERWNUMBER.wav.

    The archive holds one archive per speaker (wav/S0002.tar.gz), which unpacks to train/S0002.
    Source: https://www.openslr.org/33; PaddleSpeech's reader (audio/datasets).
    """
    for path in sorted(folder.rglob("S*.tar.gz")):
        if not any((path.parent / split / path.name[:5]).is_dir() for split in _AISHELL_SPLITS):
            on_warning(f"{path}: not unpacked; unpack it into its folder")
    for path in recordings(folder, {"wav"}):
        name = re.fullmatch(r"BAC009(S\d{4})W\d{4}", path.stem)
        split = path.parents[1].name
        if name and split in _AISHELL_SPLITS:
            yield RawItem(path, name[1], split)
        else:
            on_warning(f"{path}: not {{train,dev,test}}/SPEAKER/BAC009SPEAKERWNUMBER.wav")


_AISHELL_SPLITS = ("train", "dev", "test")


def _common_voice(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """LOCALE/{train,dev,test}.tsv with columns client_id and path; recordings in LOCALE/clips.

    Source: https://github.com/common-voice/cv-dataset (datasets/scripted-speech).
    """
    tables = [p for name in ("train", "dev", "test") for p in sorted(folder.rglob(f"{name}.tsv"))]
    for table in tables:
        for row in read_rows(table, on_warning, ["client_id", "path"], "\t"):
            name = Path(row["path"]).name
            tags = (f"locale {row['locale']}",) if row.get("locale") else ()
            yield RawItem(table.parent / "clips" / name, row["client_id"], table.stem, tags=tags)


_RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def _ravdess(folder: Path, on_warning: OnWarning) -> Iterator[RawItem]:
    """Actor_NN/MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR.wav.

    Each part has two digits: channel 01 is speech and 02 song, emotions are 01 to 08, intensity 02
    is strong. The emotion determines the quadrant; neutral has none.
    Source: https://zenodo.org/records/1188976, file naming convention.
    """
    for path in recordings(folder, {"wav"}):
        name = re.fullmatch(r"03-0([12])-0([1-8])-0([12])-\d\d-\d\d-(\d\d)", path.stem)
        if not name:
            on_warning(f"{path}: name does not follow RAVDESS's scheme for audio files")
            continue
        channel, emotion, intensity, actor = name.groups()
        word = _RAVDESS_EMOTIONS[int(emotion) - 1]
        tags = (
            word,
            ("normal", "strong")[int(intensity) - 1],
            ("speech", "song")[int(channel) - 1],
        )
        yield RawItem(path, f"actor {actor}", quadrant=from_words([word]), tags=tags)


def _librispeech_part(part: str, megabytes: int, md5: str, *, optional: bool = True) -> Archive:
    url = f"https://www.openslr.org/resources/12/{part}.tar.gz"
    return Archive(part, url, megabytes, f"md5:{md5}", optional=optional)


SPEECH = (
    Corpus(
        name="librispeech",
        title="LibriSpeech",
        what="English audiobooks, read by 2,484 volunteers",
        kind="speech",
        hours=982,
        language="english",
        labels="none",
        licence="CC BY 4.0",
        url="https://www.openslr.org/12",
        get="fetch; by default train-clean-100 and dev-clean",
        layout="LibriSpeech/SUBSET/READER/CHAPTER/READER-CHAPTER-NUMBER.flac",
        read=_librispeech,
        folders=("LibriSpeech",),
        archives=(
            _librispeech_part(
                "train-clean-100", 6_387, "2a93770f6d5c6c964bc36631d331a522", optional=False
            ),
            _librispeech_part("dev-clean", 338, "42e2234ba48799c1f50f24a7926300a1", optional=False),
            _librispeech_part("dev-other", 314, "c8d0bcc9cca99d4f8b62fcc847357931"),
            _librispeech_part("test-clean", 347, "32fa31d27d2e1cad72775fee3f4849a9"),
            _librispeech_part("test-other", 329, "fb5a50374b501bb3bac4815ee91d3135"),
            _librispeech_part("train-clean-360", 23_049, "c0e676e450a7ff2f54aeade5171606fa"),
            _librispeech_part("train-other-500", 30_593, "d1a0fd59409feb2c614ce4d30c387708"),
        ),
    ),
    Corpus(
        name="aishell",
        title="AISHELL-1",
        what="Mandarin sentences, read by 400 speakers",
        kind="speech",
        hours=178,
        language="mandarin",
        labels="none",
        licence="Apache 2.0",
        url="https://www.openslr.org/33",
        get="fetch",
        layout="data_aishell/wav/{train,dev,test}/SPEAKER/*.wav",
        read=_aishell,
        folders=("data_aishell", "aishell_2017"),
        archives=(
            Archive(
                "data",
                "https://www.openslr.org/resources/33/data_aishell.tgz",
                15_582,
                "md5:2f494334227864a8a8fec932999db9d8",
                inner="data_aishell/wav/*.tar.gz",
            ),
        ),
    ),
    Corpus(
        name="common-voice",
        title="Common Voice",
        what="sentences in over a hundred languages, read by volunteers",
        kind="speech",
        hours=None,
        language="",
        labels="none",
        licence="CC0 1.0",
        url="https://commonvoice.mozilla.org/datasets",
        get="by hand, after consent on its page; one archive per language",
        layout="LOCALE/{train,dev,test}.tsv beside LOCALE/clips",
        read=_common_voice,
        folders=("common_voice",),
    ),
    Corpus(
        name="ravdess",
        title="RAVDESS",
        what="two English sentences, acted in eight emotions by 24 actors",
        kind="speech",
        hours=1.5,
        language="english",
        labels="emotion (8), intensity",
        licence="CC BY-NC-SA 4.0",
        url="https://zenodo.org/records/1188976",
        get="fetch",
        layout="Actor_NN/03-01-06-01-02-01-12.wav",
        read=_ravdess,
        folders=("RAVDESS", "Audio_Speech_Actors_01-24"),
        archives=(
            Archive(
                "speech",
                "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
                208,
                "md5:bc696df654c87fed845eb13823edef8a",
            ),
        ),
    ),
)
