"""Decode any audio file, packet by packet, with the FFmpeg libraries that PyAV bundles.

Input is untrusted, so the libraries are restricted. They open neither other files nor addresses,
and accept neither lists of files nor pictures.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import BinaryIO

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition

from quadpred.audio.containers import ogg_links, promised_fraction, skip_tags, xing_frames
from quadpred.audio.errors import AudioError
from quadpred.audio.interrupts import raise_deferred
from quadpred.audio.source import FilePart, open_regular

__all__ = [
    "FileDecoder",
    "announced_seconds",
    "codec_name",
    "open_container",
    "playback_differences",
]

_UNREADABLE = (
    "not audio that quadpred can read, or damaged at its start; "
    "convert it to wav or flac, or copy it again"
)

# Containers that hold their audio. Not among them are lists of other files or addresses (hls, dash,
# concat, sdp, imf), image sequences, scripts and devices.
_FORMATS = """
aa aac ac3 act aiff amr amrnb amrwb ape aptx aptx_hd asf ast au avi bonk caf dsf dss dts dtshd dv
eac3 flac flv gsm gxf iff ilbc ircam loas matroska mlp mmf mov mp3 mpc mpc8 mpeg mpegts mxf
nistsphere nsv nut ogg oma osq paf pvf qcp qoa rka rm rso sbc sds sdx shn sox spdif svs tak truehd
tta voc vqf w64 wav wavarc webm wsd wtv wv xa xwma
"""

_CODECS = """
8svx_exp 8svx_fib aac aac_latm ac3 alac als amrnb amrwb ape aptx aptx_hd atrac1 atrac3 atrac3al
atrac3plus atrac3plusal bonk cook dca dfpwm dolby_e dsd_lsbf dsd_lsbf_planar dsd_msbf
dsd_msbf_planar dss_sp dst dvaudio eac3 evrc flac g722 g723_1 g726 g726le g729 gsm gsm_ms ilbc imc
libopencore_amrnb libopencore_amrwb libopus mace3 mace6 metasound mlp mp1 mp1float mp2 mp2float mp3
mp3adu mp3adufloat mp3float mp3on4 mp3on4float mpc7 mpc8 msnsiren nellymoser opus osq paf_audio
qcelp qdm2 qdmc qoa ralf real_144 real_288 rka s302m sbc shorten sipr siren speex tak truehd
truespeech tta twinvq vorbis wavarc wavpack wmalossless wmapro wmav1 wmav2 wmavoice
"""


@cache
def _options() -> dict[str, str]:
    pcm = (name for name in av.codecs_available if name.startswith(("pcm_", "adpcm_")))
    return {
        "format_whitelist": ",".join(_FORMATS.split()),
        "codec_whitelist": ",".join([*_CODECS.split(), *pcm]),
        "max_probe_packets": "2",  # else a wav is searched for DTS for 30 ms
        "protocol_whitelist": "none",  # the bytes come from a file that is open already
    }


# Containers whose header states the duration of a track, each with the error in seconds that an
# encoder's delay and padding can explain.
_STATED = {"ape": 0.02, "flac": 0.02, "tak": 0.02, "tta": 0.02, "wv": 0.02}
_SLACK = 0.25
_STATED |= dict.fromkeys(("asf", "dsf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mpc8"), _SLACK)
_LEAST = 1e-3  # seconds that count as lost with a packet that does not state its duration
_GAP = 0.05  # seconds between the times of two packets that are not a loss

# A bare stream has no index: what lies before its first frame or after its last is not audio.
_BARE = {"aac", "ac3", "dts", "eac3", "loas", "mlp", "mp3", "truehd"}
_TAGS = (b"3DI", b"APETAGEX", b"ID3", b"LYRICSBEGIN", b"TAG", b"Xing")

# Codecs with a checksum per frame. Unless it is checked, a damaged frame is decoded to noise.
_CHECKED = {"flac", "tta", "wavpack"}

_ATTEMPTS = 100  # errors of a container in a row, after which its end is given up
# Containers whose audio a browser plays at the times that they state.
_TIMED = ("matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2")
_LATE = 0.5  # seconds by which it may differ unnoticed
_FRAME = 200  # bytes in which the first frame of an mp3 names its kind
_HEAD = 1 << 16  # bytes in which an mp3 has its Xing header


class FileDecoder:
    """A file that is decoded once, from start to end; what is damaged is skipped.

    Attributes:
        path: the file.
        seconds: the audio that has been decoded so far.
        damage: after the last frame, one phrase on what is missing, or None.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.seconds = 0.0
        self.damage: str | None = None
        self._lost = 0.0  # seconds
        self._broken = False  # something is lost, perhaps of unknown length

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the frames of the default audio track, whose rate, layout and format may change.

        Raises:
            AudioError: the file cannot be read, or no audio can be decoded.
        """
        with open_regular(self.path) as file:
            parts, self._broken = _parts(file)
            refusal = None
            try:
                for part in parts:
                    try:
                        yield from self._decode(part)
                    except AudioError as error:
                        refusal, self._broken = error, True
                if not self.seconds:
                    raise refusal or AudioError(self.path, "holds no samples")
                promised = promised_fraction(file, parts[0].start, _size(file)) * self.seconds
            except OSError as error:
                raise AudioError(self.path, f"cannot be read ({error.strerror})") from None
        if promised - self.seconds > _SLACK:
            self._lost = max(self._lost, promised - self.seconds)
        self.damage = self._describe()

    def _describe(self) -> str | None:
        if not self._lost:
            missing = f"decoded {self.seconds:.1f} seconds, more is damaged or missing"
            return missing if self._broken else None
        digits = 1 if self._lost >= 0.1 else 3
        whole = f"{self.seconds + self._lost:.{digits}f}"
        return (
            f"decoded {self.seconds:.{digits}f} of {whole} seconds, the rest is damaged or missing"
        )

    def _decode(self, part: FilePart) -> Iterator[AudioFrame]:
        """Yield the frames of one part, and add up what is lost in it."""
        with open_container(part, self.path) as container:
            track = _audio_track(container, self.path)
            name, unit = container.format.name, float(track.time_base or 0)
            before, lost, skipped, damaged = self.seconds, 0.0, 0.0, 0
            origin, first = None, None
            for frames, packet in self._packets(container, track):
                if packet is not None:
                    damaged += 1
                    if self.seconds > before and not bytes(packet).startswith(_TAGS):
                        skipped += max((packet.duration or 0) * unit, _LEAST)
                elif frames and name != "ogg":
                    lost, skipped = lost + skipped, 0.0
                for frame in frames:
                    first = first or frame
                    if name == "ogg" and frame.pts is not None:
                        # Pages that are lost leave a gap between the times of their neighbours.
                        begins = frame.pts * unit - (self.seconds - before)
                        origin = begins if origin is None else origin
                        if begins - origin - lost > _GAP:
                            lost, skipped = begins - origin, 0.0
                    self.seconds += frame.samples / (frame.sample_rate or 1)
                    yield frame
            if first is None:
                if damaged:
                    raise AudioError(self.path, _UNREADABLE)
                return
            if name not in _BARE:
                lost += skipped
            missing = _stated(container, track, part, first) - (self.seconds - before)
            self._lost += max(lost, missing if missing > _STATED.get(name, _SLACK) else 0)

    def _packets(
        self, container: InputContainer, track: AudioStream
    ) -> Iterator["tuple[list[AudioFrame], Packet[AudioStream] | None]"]:
        """Yield the frames of each packet, or, with none, a packet that cannot be decoded."""
        decoder, failures = decoder_of(track), 0
        while failures < _ATTEMPTS:
            try:
                for packet in container.demux(track):
                    raise_deferred()
                    if packet.size:  # an empty one would end the decoder
                        failures = 0
                        yield _frames_of(decoder, packet)
                break
            except av.FFmpegError:
                self._broken = True
                failures += 1
        with suppress(av.FFmpegError):
            yield decoder.decode(None), None


def _frames_of(
    decoder: AudioCodecContext, packet: "Packet[AudioStream]"
) -> "tuple[list[AudioFrame], Packet[AudioStream] | None]":
    try:
        return decoder.decode(packet), None
    except av.error.BlockingIOError:  # it still holds what followed an error
        decoder.flush_buffers()
        with suppress(av.FFmpegError):
            return decoder.decode(packet), None
    except av.FFmpegError:
        pass
    return [], packet


def announced_seconds(path: str | os.PathLike[str]) -> float | None:
    """Return the duration that a file's header states or its size suggests; it may be wrong.

    Raises:
        AudioError: the file cannot be read or has no audio track.
    """
    path = os.fspath(path)
    with open_regular(path) as file:
        parts, _ = _parts(file)
        with open_container(parts[0], path) as container:
            _audio_track(container, path)
            known = container.duration if len(parts) == 1 else None
            return None if known is None else known / 1e6


def playback_differences(path: str | os.PathLike[str], seconds: float) -> list[str]:
    """Do the work of `quadpred.audio.playback_differences`."""
    path = os.fspath(path)
    found = []
    with open_regular(path) as file:
        part = _parts(file)[0][0]
        with open_container(part, path) as container:
            track = _audio_track(container, path)
            if len(container.streams.audio) > 1:
                found.append("tracks")
            start = float((track.start_time or 0) * (track.time_base or 0))
            if container.format.name in _TIMED and abs(start) > _LATE:
                found.append("late")
            if container.format.name == "mp3":
                head = part.head(_HEAD)
                frames, rate = xing_frames(head), track.codec_context.sample_rate
                stated = (frames or 0) * (track.codec_context.frame_size or 0) / rate
                if stated and abs(stated - seconds) > _LATE:
                    found.append("header")
                if any(name in head[:_FRAME] for name in (b"Xing", b"VBRI")):
                    found.append("variable")
    return found


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _parts(file: BinaryIO) -> tuple[list[FilePart], bool]:
    """Cut a file into parts that are files of their own; also return whether the last is cut."""
    size = _size(file)
    start = skip_tags(file, size)
    file.seek(start)
    if file.read(4) != b"OggS":
        return [FilePart(file, start, size)], False
    spans, truncated = ogg_links(file, start, size)
    return [FilePart(file, *span) for span in spans], truncated


def open_container(part: FilePart, path: str) -> InputContainer:
    """Open a file, or a part of one, such that it cannot open anything else.

    Raises:
        AudioError: FFmpeg cannot read it.
    """
    try:
        return av.open(part, "r", options=_options(), metadata_errors="replace")
    except (av.FFmpegError, ValueError):
        raise AudioError(path, _UNREADABLE) from None
    finally:
        raise_deferred()


def _audio_track(container: InputContainer, path: str) -> AudioStream:
    """Return the track that a player would choose, ready to decode."""
    tracks = container.streams.audio
    if not tracks:
        raise AudioError(path, "has no audio track; choose another file")
    allowed = _options()["codec_whitelist"].split(",")
    decodable = [t for t in tracks if codec_name(t) in allowed]
    if not decodable:
        raise AudioError(
            path, "has audio of a codec that quadpred cannot decode; convert it to wav or flac"
        )
    track = next((t for t in decodable if t.disposition & Disposition.default), decodable[0])
    for other in container.streams:
        if other is not track:
            other.discard = Discard.all
    return track


def codec_name(track: AudioStream) -> str:
    """Return the name of a track's codec, or nothing if FFmpeg does not know it."""
    context: AudioCodecContext | None = track.codec_context
    return context.name if context is not None else ""


def decoder_of(track: AudioStream) -> AudioCodecContext:
    """Return the decoder of a track, on one thread: other cores are for other files."""
    decoder = track.codec_context
    if decoder.name == "pcm_f24le":
        # 24 bits in 32 are integers, but FFmpeg takes them for floats of a rare old editor.
        layout, rate = decoder.layout, decoder.sample_rate
        decoder = AudioCodecContext.create("pcm_s32le", "r")
        decoder.layout, decoder.sample_rate = layout, rate
    if decoder.name == "opus":
        # FFmpeg's own decoder turns some intact packets into samples of several hundred.
        header, layout = decoder.extradata, decoder.layout
        decoder = AudioCodecContext.create("libopus", "r")
        decoder.extradata, decoder.layout, decoder.sample_rate = header, layout, 48_000
        decoder.options = {"request_sample_fmt": "flt"}  # 16 bits would clip what a gain amplifies
    if decoder.name in _CHECKED:
        decoder.options = {"err_detect": "crccheck+explode"}
    decoder.thread_count = 1
    return decoder


def _stated(
    container: InputContainer, track: AudioStream, part: FilePart, first: AudioFrame
) -> float:
    """Return the duration in seconds that the header of a part states, or 0."""
    name = container.format.name
    if name == "mp3":
        frames = xing_frames(part.head(_HEAD))
        # The first frame is no measure: an encoder's delay is cut from it.
        return (frames or 0) * (track.codec_context.frame_size or 0) / first.sample_rate
    if name not in _STATED:
        return 0.0
    if track.duration is not None:
        return float(track.duration * (track.time_base or 0))
    # Of several tracks, another may be the longest.
    alone = len(container.streams) == 1
    return (container.duration or 0) / 1e6 if alone else 0.0
