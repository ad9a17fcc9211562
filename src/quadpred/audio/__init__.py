"""Convert any audio file, array or live stream to mono float32 blocks at one sample rate.

Audio is streamed: memory does not grow with the length of the audio.
"""

from quadpred.audio.errors import AudioError, AudioWarning, TooLongError
from quadpred.audio.levels import SecondLevels
from quadpred.audio.source import (
    ADDRESS,
    BROKEN_LINK,
    NOT_REGULAR,
    FilePart,
    is_address,
    open_regular,
)
from quadpred.audio.stream import (
    AudioReader,
    OnBlock,
    at_most,
    live_blocks,
    playback_differences,
    probe,
    read_blocks,
    sample_blocks,
)

__all__ = [
    "ADDRESS",
    "BROKEN_LINK",
    "NOT_REGULAR",
    "AudioError",
    "AudioReader",
    "AudioWarning",
    "FilePart",
    "OnBlock",
    "SecondLevels",
    "TooLongError",
    "at_most",
    "is_address",
    "live_blocks",
    "open_regular",
    "playback_differences",
    "probe",
    "read_blocks",
    "sample_blocks",
]
