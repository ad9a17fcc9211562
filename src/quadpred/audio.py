"""Any audio file or array to mono float32 blocks at one sample rate, streamed; what is refused, and why.

libsndfile reads wav, flac, ogg (vorbis, opus), mp3 and their kin; anything else is handed to an
installed ffmpeg. Neither ever holds more than one block of the file.
"""

import os
import re
import shutil
import stat
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from quadpred.mpeg import find_frames

__all__ = ["AudioError", "AudioWarning", "Loudness", "read_blocks", "resample", "sample_blocks"]

Array = NDArray[np.float32]

_BLOCK = 1 << 18  # samples of all channels decoded at once
_RATES = range(1_000, 1_000_001)  # Hz; beyond, a header is damaged
_CHANNELS = 256  # an array with more is one with its axes exchanged
_UNKNOWN = 1 << 40  # frames; as many are announced by a stream of unknown length
_SLACK = 0.25  # seconds, more than the delay and padding that an encoder adds and a decoder cuts

# RMS of a second, with full scale at 1. 60 dB below a full-scale peak lie the noise of tape and vinyl
# and the last second of a fade-out; a quiet passage of music, 40 to 50 dB down, lies above.
_SILENCE = 1e-3

# What libsndfile logs of a chunk that claims more bytes than the file has.
_CUT_CHUNK = re.compile(r"(?:data|SSND) *: (\d+) \(should be (\d+)\)")
_CUT_OGG = "lacks an end-of-stream bit"


def _printable(text: str) -> str:
    """Escape what would break a line or could not be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class AudioError(ValueError):
    """Audio that cannot be read. `str(error)` is one line: the file and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str):
        super().__init__(path, reason)  # what a copy in another process is made from
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return _printable(f"{os.fspath(self.path)}: {self.reason}")


class AudioWarning(UserWarning):
    """A file that could be read in part only."""


class _Sound(soundfile.SoundFile):
    """An open file read from start to end.

    soundfile seeks to where it already is after every read. A pipe cannot, and an mp3 loses the bits
    that its next frames borrow from earlier ones: up to a tenth of a second of noise after each read.
    """

    def seekable(self) -> bool:
        return False


def _open_regular(path: str) -> BinaryIO:
    """Open a file for reading without a buffer, so that its descriptor is where the object is."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(path, "is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(path, "is a pipe, a socket or a device, not a file")
        if not status.st_size:
            raise AudioError(path, "is empty")
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise AudioError(path, "no such file") from None
    except PermissionError:
        raise AudioError(path, "no permission to read it") from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror}") from None


def _fill(descriptor: int, pieces: Iterable[bytes]) -> None:
    with suppress(OSError), open(descriptor, "wb") as pipe:  # OSError: the reader has gone
        pipe.writelines(pieces)


def _pipe(pieces: Iterable[bytes], stack: ExitStack) -> int:
    """Return a descriptor from which the pieces can be read; a thread writes them."""
    reading, writing = os.pipe()
    thread = threading.Thread(target=_fill, args=(writing, pieces), daemon=True)
    stack.callback(thread.join)
    stack.callback(os.close, reading)
    thread.start()
    return reading


def _open_sndfile(path: str, stack: ExitStack) -> tuple[_Sound, Callable[[], bool]] | None:
    """Open what libsndfile can read. The second value tells, after the end, whether parts were lost."""
    # By descriptor, for libsndfile would take any file for the format that its name ends in.
    file = stack.enter_context(_open_regular(path))
    frames = find_frames(file)
    source = _pipe(frames, stack) if frames else file.fileno()
    file.seek(0)
    with suppress(soundfile.LibsndfileError):
        sound = stack.enter_context(_Sound(source, closefd=False))
        if frames:
            return sound, lambda: frames.lost > 0
        if sound.format != "MP3":  # or else it is a guess from two bytes
            return sound, lambda: _CUT_OGG in sound.extra_info
    return None


def _open_ffmpeg(path: str, stack: ExitStack) -> tuple[_Sound, Callable[[], bool]]:
    """Decode the first audio track with ffmpeg; the second value is as above."""
    program = shutil.which("ffmpeg")
    if not program:
        reason = "libsndfile cannot read this format: it needs ffmpeg, which is not installed"
        raise AudioError(path, reason)
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]
    command += ["-i", f"file:{path}", "-map", "0:a:0"]
    # Sun's au is the one container that libsndfile reads from a pipe at any length.
    command += ["-f", "au", "-c:a", "pcm_f32be", "pipe:1"]
    process = stack.enter_context(Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE))
    assert process.stdout and process.stderr
    said: deque[bytes] = deque(maxlen=20)
    listener = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
    stack.callback(listener.join)
    stack.callback(process.kill)
    listener.start()

    def complained() -> bool:
        listener.join()
        return bool(process.wait() or said)

    try:
        return stack.enter_context(_Sound(process.stdout.fileno(), closefd=False)), complained
    except soundfile.LibsndfileError:
        process.stdout.close()
        complained()
        silent = b"matches no streams" in b"".join(said)
        reason = "has no audio track" if silent else "not audio that libsndfile or ffmpeg can read"
        raise AudioError(path, reason) from None


def _mono(block: NDArray[Any], path: str) -> Array:
    """Mix (samples, channels) with equal weights into (samples,); refuse what is not finite."""
    channels = block.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        # A dot product is 25 times faster than mean(axis=1) over so short an axis.
        mono = block.astype(np.float32, copy=False) @ np.full(channels, 1 / channels, np.float32)
    if not np.isfinite(mono).all():
        raise AudioError(path, "holds samples that are not finite numbers")
    return mono


def _read(sound: _Sound, buffer: Array) -> tuple[Array, bool]:
    """Fill the buffer as far as possible; the second value is whether the file is damaged there."""
    buffer.fill(np.nan)
    try:
        return sound.read(out=buffer), False
    except soundfile.LibsndfileError:
        # libsndfile does not say how much it had decoded; what it had not is still NaN.
        return buffer[: np.isnan(buffer[:, 0]).argmax()], True


def _announced(sound: _Sound) -> float | None:
    """Return the length in frames that the header speaks of, if it is known."""
    cut = _CUT_CHUNK.search(sound.extra_info)
    claimed, present = map(int, cut.groups()) if cut else (1, 1)
    if sound.frames >= _UNKNOWN or claimed >= 0x7FFFFFFF - 44:  # the last: a header never completed
        return None
    return float(sound.frames * claimed / max(present, 1))


def _decode(path: str, sound: _Sound, lossy: Callable[[], bool]) -> Iterator[Array]:
    """Yield mono blocks at the file's own rate, and warn of what is missing."""
    announced, rate = _announced(sound), sound.samplerate
    buffer = np.empty((max(1, _BLOCK // sound.channels), sound.channels), np.float32)
    done, broken = 0, False
    while not broken:
        block, broken = _read(sound, buffer)
        if not len(block):
            break
        done += len(block)
        yield _mono(block, path)
    if not done:
        raise AudioError(path, "holds no samples")
    short = announced is not None and announced - done > _SLACK * rate
    if broken or lossy() or short:
        whole = f" of {announced / rate:.1f}" if announced and short else ""
        text = f"{_printable(path)}: {done / rate:.1f}{whole} seconds decoded, the rest is damaged or missing"
        warnings.warn(text, AudioWarning, stacklevel=2)
