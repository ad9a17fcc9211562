"""MIDI files to recordings, by FluidSynth, once."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from quadpred.audio import AudioError, read_blocks
from quadpred.train.corpora.corpus import Warn
from quadpred.train.corpora.manifest import ManifestError

__all__ = ["render"]

RATE = 44_100  # Hz, of the synthesis
KEPT_RATE = 16_000  # Hz, of the recording: that of the front end
TIMEOUT = 300  # seconds per file
_BLOCK = 1 << 16  # samples encoded at once
SOUNDFONTS = ("/usr/share/sounds/sf2/default-GM.sf2", "/usr/share/soundfonts/default.sf2")


def render(
    paths: Iterable[Path],
    *,
    warn: Warn,
    soundfont: Path | None = None,
    cache: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[Path, Path]:
    """Make a mono flac of 16 kHz of each MIDI file, unless it has been made.

    Args:
        paths: of MIDI files.
        warn: takes a line on each that cannot be rendered.
        soundfont: by default the system's.
        cache: folder for the recordings, by default the user's; `QUADPRED_CACHE` moves it.
        progress: called after each file.

    Returns:
        The recordings by MIDI file.

    Raises:
        ManifestError: no FluidSynth or no soundfont.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise ManifestError("MIDI files need FluidSynth, which is not installed")
    font = soundfont or next((p for p in map(Path, SOUNDFONTS) if p.is_file()), None)
    if font is None:
        raise ManifestError("no soundfont in the usual places: name one with --soundfont")
    if not font.is_file():
        raise ManifestError(f"{font}: no such soundfont")
    root = cache or Path(os.environ.get("QUADPRED_CACHE") or user_cache_path("quadpred"))
    folder = root.absolute() / "rendered"
    folder.mkdir(parents=True, exist_ok=True)
    sound = f"{font.resolve()} {font.stat().st_size}".encode()

    def one(path: Path) -> Path | None:
        try:
            key = hashlib.sha256(sound + b"\0" + path.read_bytes()).hexdigest()[:20]
            target = folder / f"{path.stem}-{key}.flac"
            if not target.exists():
                _render(program, font, path, target)
        except OSError as error:
            warn(f"{path}: {error.strerror}")
        except (AudioError, subprocess.SubprocessError):
            warn(f"{path}: FluidSynth made no sound of it")
        else:
            return target
        finally:
            progress()
        return None

    paths = list(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = zip(paths, pool.map(one, paths), strict=True)
        return {path: target for path, target in made if target is not None}


def _render(program: str, font: Path, midi: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        raw, part = Path(scratch) / "raw.wav", Path(scratch) / "part.flac"
        command = [program, "-niq", "-T", "wav", "-r", str(RATE), "-F", str(raw)]
        subprocess.run(
            [*command, str(font.absolute()), str(midi.absolute())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=True,  # with what is no MIDI it succeeds, and its file is empty
        )
        samples = np.concatenate(list(read_blocks(raw, KEPT_RATE)))
        _write_flac(part, samples)
        part.replace(target)


def _write_flac(path: Path, samples: NDArray[np.float32]) -> None:
    """Write samples of shape (samples,) at `KEPT_RATE` as 16-bit flac."""
    import av

    pcm = np.round(np.clip(samples, -1, 1) * 32_767).astype(np.int16)
    with av.open(path, "w", format="flac") as file:
        stream = file.add_stream("flac", KEPT_RATE, layout="mono", format="s16")
        for start in range(0, len(pcm), _BLOCK):
            block = pcm[None, start : start + _BLOCK]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = KEPT_RATE, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
