"""Readers of the corpora: labelled.py those with labels, unlabelled.py those for distillation."""

from experiments.data.labelled import (
    FOLDS,
    SOUNDFONTS,
    Bars,
    LabelledCorpus,
    Rating,
    acted_speech,
    emopia,
    emopia_scores,
    emotify,
    emotify_long,
    film,
    four_quadrants,
    mandarin,
    render_one,
    vgmidi,
)
from experiments.data.unlabelled import UNLABELLED, Excerpt, excerpts, read_excerpt

__all__ = [
    "FOLDS",
    "SOUNDFONTS",
    "UNLABELLED",
    "Bars",
    "Excerpt",
    "LabelledCorpus",
    "Rating",
    "acted_speech",
    "emopia",
    "emopia_scores",
    "emotify",
    "emotify_long",
    "excerpts",
    "film",
    "four_quadrants",
    "mandarin",
    "read_excerpt",
    "render_one",
    "vgmidi",
]
