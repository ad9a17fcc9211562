"""Audio made by code, in real files."""

import signal
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

# A shell's background job ignores ^C, and so would every process that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def sound_file(tmp_path: Path) -> Callable[..., Path]:
    """Write samples with soundfile and return the path; the name's ending chooses the format."""

    def write(name: str, samples: np.ndarray, rate: int, **options: str) -> Path:
        path = tmp_path / name
        soundfile.write(path, samples, rate, **options)
        return path

    return write


@pytest.fixture
def encode(tmp_path: Path) -> Callable[..., Path]:
    """Encode samples with PyAV and return the path; the name's ending chooses the container."""

    def write(
        name: str,
        samples: np.ndarray,
        rate: int,
        codec: str,
        *,
        container: dict[str, str] | None = None,
        cover: bool = False,
        **options: str,
    ) -> Path:
        path = tmp_path / name
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        with av.open(path, "w", options=container) as file:
            stream = file.add_stream(codec, rate, layout=layout, options=options)
            pictures = file.add_stream("mpeg4", 5, width=64, height=64) if cover else None
            if pictures:
                picture = av.VideoFrame(64, 64, "yuv420p")
                file.mux(pictures.encode(picture) + pictures.encode(None))
            data = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(data, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            file.mux(stream.encode(frame) + stream.encode(None))
        return path

    return write
