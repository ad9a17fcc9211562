"""Fetch unlabelled music under free licences, for distillation.

    python -m experiments.data.free_music FOLDER

The music comes from free games: the Debian packages of free_music.txt, by `apt-get`. The copyright
file of each package names its licences. FOLDER gets excerpts of 30 s. Finished packages are kept;
several GB pass through a temporary folder.
"""

import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile
import soxr

PACKAGES = Path(__file__).with_suffix(".txt").read_text().split()
SUFFIXES = {".ogg", ".mp3", ".flac", ".opus", ".oga"}
SECONDS = 30
SHORTEST = 40  # seconds: shorter files are sounds, not music
QUIET = 0.003  # root mean square below which an excerpt is left out
RATE = 16_000


def fetch(package: str, folder: Path) -> None:
    """Keep excerpts of a package's music."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        command = ["apt-get", "-q", "download", package]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        (archive,) = place.glob("*.deb")
        unpacked = place / "unpacked.tar"
        with unpacked.open("wb") as file:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], check=True, stdout=file)
        with tarfile.open(unpacked) as files:
            for member in files:
                path = Path(member.name)
                content = files.extractfile(member) if member.isfile() else None
                if content and path.suffix.lower() in SUFFIXES:
                    (place / "track").write_bytes(content.read())
                    # What libsndfile cannot read, or not to its end, is left out.
                    with suppress(soundfile.LibsndfileError):
                        keep(place / "track", folder, f"{package}--{path.stem.replace(' ', '_')}")


def keep(track: Path, folder: Path, name: str) -> None:
    """Write one to three excerpts of a track, spread evenly."""
    with soundfile.SoundFile(track) as sound:
        seconds = sound.frames / sound.samplerate
        if seconds < SHORTEST:
            return
        count = 1 if seconds < 75 else 2 if seconds < 180 else 3
        for number in range(count):
            sound.seek(int((seconds - SECONDS) * (number + 0.5) / count * sound.samplerate))
            samples = sound.read(SECONDS * sound.samplerate, dtype="float32", always_2d=True)
            mono = soxr.resample(samples.mean(1), sound.samplerate, RATE)
            if len(mono) > (SECONDS - 1) * RATE and np.sqrt(np.mean(mono**2)) > QUIET:
                output = folder / f"{name}--{number}.ogg"
                soundfile.write(output, mono.clip(-1, 1), RATE, format="OGG", subtype="OPUS")


def main() -> None:
    """Fetch what is missing."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        done = folder / f"{package}.done"
        if not done.exists():
            fetch(package, folder)
            done.touch()


if __name__ == "__main__":
    main()
