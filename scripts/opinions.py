"""VibeNet's valence of the music that our networks hear, for them to learn as an opinion.

    pip install vibenet && pip install -U typer  # it brings one too old for `quadpred`
    python scripts/opinions.py DATA RUNS

VibeNet (from PyPI; GPL) learned Echo Nest's valence from the Free Music Archive, so it has heard
more kinds of music than our labels know of. RUNS/opinions gets an archive a corpus, with the
log-odds of each clip's valence, beside what VibeNet said of it.
"""

import sys
from pathlib import Path

import numpy as np
from peers import outputs

from quadpred.train.corpora import DataSheet

MARGIN = 0.02  # keeps log-odds of 0 and 1 finite


def archive_of(sheet: DataSheet, folder: Path) -> Path:
    """Return the path of a corpus's archive."""
    return folder / f"{sheet.name.split(',')[0].replace(' ', '-').lower()}.npz"


def main() -> None:
    """Write what is missing."""
    from ship import free_music, manifests
    from vibenet import labels

    data, runs = map(Path, sys.argv[1:])
    made = manifests(data, runs)
    folder = runs / "opinions"
    folder.mkdir(exist_ok=True)
    for manifest in (made["4q"], made["emotify"], free_music(runs)):
        archive = archive_of(manifest.sheet, folder)
        clips = list(manifest.clips)
        said = outputs(clips, archive.with_suffix(".vibenet.npz"))[:, labels.index("valence")]
        log_odds = np.log((said + MARGIN) / (1 + MARGIN - said)).astype(np.float32)
        named = {
            clip.path.stem: value.reshape(1, 1) for clip, value in zip(clips, log_odds, strict=True)
        }
        np.savez(archive, **named)


if __name__ == "__main__":
    main()
