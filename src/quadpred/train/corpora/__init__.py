"""The manifest format, and one adapter per corpus from its published folders to a manifest."""

from quadpred.train.corpora.corpus import Archive, Corpus
from quadpred.train.corpora.manifest import (
    Clip,
    DataSheet,
    Manifest,
    ManifestError,
    check_clips,
    check_splits,
    from_folder,
    in_folds,
    read_table,
)
from quadpred.train.corpora.music import MUSIC
from quadpred.train.corpora.speech import SPEECH

__all__ = [
    "CORPORA",
    "Archive",
    "Clip",
    "Corpus",
    "DataSheet",
    "Manifest",
    "ManifestError",
    "check_clips",
    "check_splits",
    "from_folder",
    "in_folds",
    "read_table",
]

CORPORA = {corpus.name: corpus for corpus in (*SPEECH, *MUSIC)}
