"""Render MIDI files with FluidSynth; results are cached."""

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
from quadpred.train.corpora.corpus import OnWarning
from quadpred.train.corpora.manifest import ManifestError

__all__ = ["render"]

SYNTHESIS_RATE = 44_100  # Hz
OUTPUT_RATE = 16_000  # Hz: the sample rate of the front end
TIMEOUT = 300  # seconds per file
_BLOCK = 1 << 16  # samples per encoded frame
SOUNDFONTS = ("/usr/share/sounds/sf2/default-GM.sf2", "/usr/share/soundfonts/default.sf2")


def render(
    paths: Iterable[Path],
    *,
    on_warning: OnWarning,
    soundfont: Path | None = None,
    cache: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[Path, Path]:
    """Render each MIDI file to a mono FLAC file at 16 kHz, unless the cache holds it.

    Args:
        paths: MIDI files.
        on_warning: called with one line per file that cannot be rendered.
        soundfont: by default one of the system's.
        cache: folder for the recordings; by default `QUADPRED_CACHE` or the user's cache folder.
        progress: called after each file.

    Returns:
        The recording of each MIDI file that could be rendered.

    Raises:
        ManifestError: FluidSynth or the soundfont is missing.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise ManifestError("MIDI files need FluidSynth: install it (package fluidsynth)")
    font = soundfont or next((p for p in map(Path, SOUNDFONTS) if p.is_file()), None)
    if font is None:
        raise ManifestError("no soundfont of the system found: name one with --soundfont")
    if not font.is_file():
        raise ManifestError(f"{font}: no such file; --soundfont needs a soundfont (.sf2)")
    root = cache or Path(os.environ.get("QUADPRED_CACHE") or user_cache_path("quadpred"))
    folder = root.absolute() / "rendered"
    folder.mkdir(parents=True, exist_ok=True)
    font_key = f"{font.resolve()} {font.stat().st_size}".encode()

    def render_or_warn(path: Path) -> Path | None:
        try:
            key = hashlib.sha256(font_key + b"\0" + path.read_bytes()).hexdigest()[:20]
            target = folder / f"{path.stem}-{key}.flac"
            if not target.exists():
                _render(program, font, path, target)
        except OSError as error:
            on_warning(f"{path}: {error.strerror}")
        except (AudioError, subprocess.SubprocessError):
            on_warning(f"{path}: FluidSynth cannot render it")
        else:
            return target
        finally:
            progress()
        return None

    paths = list(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = zip(paths, pool.map(render_or_warn, paths), strict=True)
        return {path: target for path, target in outputs if target is not None}


def _render(program: str, font: Path, midi: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        raw, part = Path(scratch) / "raw.wav", Path(scratch) / "part.flac"
        command = [program, "-niq", "-T", "wav", "-r", str(SYNTHESIS_RATE), "-F", str(raw)]
        subprocess.run(
            [*command, str(font.absolute()), str(midi.absolute())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=True,  # a file that is not MIDI still gives 0, and an empty recording
        )
        samples = np.concatenate(list(read_blocks(raw, OUTPUT_RATE)))
        _write_flac(part, samples)
        part.replace(target)


def _write_flac(path: Path, samples: NDArray[np.float32]) -> None:
    """Write samples of shape (samples,) at `OUTPUT_RATE` as 16-bit FLAC."""
    import av

    pcm = np.round(np.clip(samples, -1, 1) * 32_767).astype(np.int16)
    with av.open(path, "w", format="flac") as file:
        stream = file.add_stream("flac", OUTPUT_RATE, layout="mono", format="s16")
        for start in range(0, len(pcm), _BLOCK):
            block = pcm[None, start : start + _BLOCK]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = OUTPUT_RATE, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
