"""Recordings keep apart that differ in their folders alone."""

from pathlib import Path

import pytest

from quadpred.train.corpora import DataSheet, ManifestError, from_folder

SHEET = DataSheet("generated")


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Two speakers whose recordings have the same name."""
    for speaker in ("anna", "bela"):
        (tmp_path / "data" / speaker).mkdir(parents=True)
        (tmp_path / "data" / speaker / "001.wav").write_bytes(b"RIFF")
    return tmp_path / "data"


def test_files_of_one_name_are_all_read(twins: Path) -> None:
    made = from_folder(twins, SHEET, group="^[a-z]+", folds=2)
    assert {clip.group for clip in made.clips} == {"anna", "bela"}
    assert len({clip.path for clip in made.clips}) == 2


def test_labels_name_files_by_their_path(twins: Path) -> None:
    labels = twins.parent / "labels.csv"
    labels.write_text("file,quadrant\nanna/001.wav,Q1\nbela/001.wav,Q3\n")
    made = from_folder(twins, SHEET, labels=labels, folds=2)
    assert {clip.path.parent.name: clip.quadrant for clip in made.clips} == {
        "anna": "Q1",
        "bela": "Q3",
    }


@pytest.mark.parametrize(
    ("name", "reason"), [("001.wav", "is in several folders"), ("002.wav", "is not under")]
)
def test_name_that_does_not_tell_is_refused(twins: Path, name: str, reason: str) -> None:
    labels = twins.parent / "labels.csv"
    labels.write_text(f"file,quadrant\n{name},Q1\n")
    with pytest.raises(ManifestError, match=rf"labels\.csv: line 2: {name} {reason}"):
        from_folder(twins, SHEET, labels=labels)
