"""Speech below DATA, as manifests whose folds are by speaker: for pre-training, without labels."""

from pathlib import Path

from experiments.data.labelled import FOLDS
from quadpred.train.corpora import DataSheet, Manifest, from_folder

__all__ = ["LANGUAGES", "speech"]

_CORPORA = {
    "speechocean762": (
        "speech_english/speechocean762",
        r"speaker\d+",
        DataSheet(
            "speechocean762",
            "english",
            "CC BY 4.0",
            "4.1 h of read sentences; the speakers' first language is Mandarin",
        ),
    ),
    "audio_cmn": (
        "speech_mandarin/audio_cmn",
        None,
        DataSheet("audio-cmn", "mandarin", "CC BY-SA", "2.8 h of single words, one woman"),
    ),
    "hsk_sentences": (
        "speech_mandarin/hsk_sentences",
        None,
        DataSheet(
            "HSK sentences",
            "mandarin",
            "CC BY-SA 4.0",
            "1.2 h of synthetic speech (CosyVoice2), one voice",
        ),
    ),
}
LANGUAGES = {
    "english": ("speechocean762",),
    "mandarin": ("audio_cmn", "hsk_sentences"),
    "mixed": tuple(_CORPORA),
}
"""The corpora of each language of speech."""


def speech(data: Path, language: str) -> list[Manifest]:
    """List the speech of a language ("english", "mandarin" or "mixed").

    Raises:
        ManifestError: there are no recordings.
    """
    manifests = []
    for name in LANGUAGES[language]:
        folder, group, sheet = _CORPORA[name]
        manifests.append(from_folder(data / folder, sheet, group=group, folds=FOLDS))
    return manifests
