"""Open any audio file as a stream of samples: by libsndfile, or else by an installed ffmpeg.

libsndfile reads wav, flac, ogg (vorbis, opus), mp3 and their kin. ffmpeg reads the rest, films too,
and hands its samples to libsndfile through a pipe, so that both are read in one way.
"""

import os
import re
import shutil
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import BinaryIO

import soundfile

from quadpred.confine import confined
from quadpred.errors import QuadpredError
from quadpred.mpeg import find_frames

__all__ = ["AudioError", "Source", "open_source", "printable"]

_UNKNOWN_FRAMES = 1 << 40  # as many are announced by a stream that does not know its length
_UNKNOWN_BYTES = 0x7FFF0000  # as many are claimed by a wav header that nobody came back to complete

# What ffmpeg may take a file for: containers that carry their sound with them. Not among them are
# those that are lists of other files or addresses (hls, dash, concat, sdp, imf) or scripts.
_CONTAINERS = """
aa aac ac3 act aiff amr amrnb amrwb ape asf ast au avi caf dsf dss dts dtshd dv eac3 flac flv gsm
gxf iff ilbc ircam loas matroska mlp mov mp3 mpc mpc8 mpeg mpegts mxf nsv nut ogg oma qcp rm shn
sox tak truehd tta voc vqf w64 wav webm wtv wv xwma
"""

# What libsndfile logs of a chunk that claims more bytes than there are, and of an ogg cut short.
# (That a last page lacks its end-of-stream bit is logged too, but read from memory already freed.)
_CUT_CHUNK = re.compile(r"(?:data|SSND) *: (\d+) \(should be (\d+)\)")
_CUT_OGG = re.compile("Junk after the last page|without an End-Of-Stream flag")


def printable(text: str) -> str:
    """Escape what would break a line or could not be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class AudioError(QuadpredError):
    """Audio that cannot be read. `str(error)` is one line: the file and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str):
        super().__init__(path, reason)  # what a copy in another process is made from
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.reason}")


class _Sound(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read once from start to end.

    After every read, soundfile seeks to where it already is. A pipe cannot, and an mp3 loses the
    bits that its next frames borrow from earlier ones: up to a tenth of a second of noise.
    """

    def seekable(self) -> bool:
        return False


@dataclass(frozen=True)
class Source:
    """An open file.

    Attributes:
        sound: gives the samples, once, in order.
        lossy: tells, when the samples have been read, whether there was damage between them.
    """

    sound: soundfile.SoundFile
    lossy: Callable[[], bool]

    @property
    def announced(self) -> float | None:
        """The length in seconds that the header speaks of, if it does."""
        cut = _CUT_CHUNK.search(self.sound.extra_info)
        claimed, present = map(int, cut.groups()) if cut else (1, 1)
        if self.sound.frames >= _UNKNOWN_FRAMES or claimed >= _UNKNOWN_BYTES:
            return None
        return float(self.sound.frames / self.sound.samplerate * claimed / max(present, 1))


def _open_regular(path: str) -> BinaryIO:
    """Open a file without a buffer, so that its descriptor stands where the object does."""
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
        raise AudioError(path, f"cannot be opened ({error.strerror})") from None


def _fill(descriptor: int, pieces: Iterable[bytes]) -> None:
    with suppress(OSError), open(descriptor, "wb") as pipe:  # OSError: the reader has gone
        pipe.writelines(pieces)


def _pipe(pieces: Iterable[bytes], stack: ExitStack) -> int:
    """Return a descriptor from which the pieces can be read; a thread writes them."""
    reading, writing = os.pipe()
    thread = threading.Thread(target=_fill, args=(writing, pieces), daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(os.close, reading)
    return reading


def _open_libsndfile(path: str, stack: ExitStack) -> Source | None:
    """Open a file by its descriptor, for libsndfile would believe what its name ends in."""
    file = stack.enter_context(_open_regular(path))
    frames = find_frames(file)
    file.seek(0)
    source = _pipe(frames, stack) if frames else file.fileno()
    with suppress(soundfile.LibsndfileError):
        sound = stack.enter_context(_Sound(source, closefd=False))
        if frames:
            return Source(sound, lambda: frames.lost > 0)
        return Source(sound, lambda: bool(_CUT_OGG.search(sound.extra_info)))
    return None


def _open_ffmpeg(path: str, stack: ExitStack) -> Source:
    """Decode the first audio track in a child process, which ends with the stack."""
    program = shutil.which("ffmpeg")
    if not program:
        needs = "other formats need ffmpeg, which is not installed"
        raise AudioError(path, f"not audio that libsndfile can read; {needs}")
    command = [program, "-nostdin", "-v", "repeat+error", "-protocol_whitelist", "file"]
    command += ["-format_whitelist", ",".join(_CONTAINERS.split())]
    command += ["-i", f"file:{path}", "-map", "0:a:0"]
    # Sun's au is the container that libsndfile reads from a pipe at any length.
    command += ["-f", "au", "-c:a", "pcm_f32be", "pipe:1"]
    process = stack.enter_context(Popen(confined(command), stdin=DEVNULL, stdout=PIPE, stderr=PIPE))
    said: deque[bytes] = deque(maxlen=20)
    listener = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
    listener.start()
    stack.callback(listener.join)
    stack.callback(process.kill)

    def complained() -> bool:
        listener.join()
        # Of what the muxer says ("au @ 0x…"), the times that a container gives its packets, no
        # sample is lost.
        return bool(process.wait() or any(not line.startswith(b"[au @") for line in said))

    assert process.stdout is not None
    try:
        sound = stack.enter_context(_Sound(process.stdout.fileno(), closefd=False))
        return Source(sound, complained)
    except soundfile.LibsndfileError:
        process.stdout.close()
        complained()
        mute = b"matches no streams" in b"".join(said)
        reason = "has no audio track" if mute else "not audio that libsndfile or ffmpeg can read"
        raise AudioError(path, reason) from None


def open_source(path: str, stack: ExitStack) -> Source:
    """Open an audio file; what it takes (threads, processes, descriptors) is freed with the stack.

    Raises:
        AudioError: it is no file, may not be read, or is not known to hold audio.
    """
    return _open_libsndfile(path, stack) or _open_ffmpeg(path, stack)
