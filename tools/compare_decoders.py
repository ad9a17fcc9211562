"""Compare every file of a folder with what the `ffmpeg` program decodes.

    python tools/compare_decoders.py FOLDER

Prints one line per file that differs: by more than 0.05 s in duration, or by more than 0.02 in any
row's probabilities. A file that neither decodes counts as equal. The last line names both versions
of FFmpeg: another version can decode a format differently.
"""

import argparse
import subprocess
import sys
import warnings
from pathlib import Path

import av
import numpy as np

from quadpred import AudioError, Predictor

SECONDS = 0.05
ROWS = 0.02
RATE = 16_000


def reference(path: Path) -> np.ndarray:
    """Return the mono samples that ffmpeg decodes, with equal weights for all channels."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-of", "csv=p=0"]
    probe += ["-show_entries", "stream=channels", f"file:{path}"]
    listed = subprocess.run(probe, capture_output=True, text=True, check=False).stdout.split()
    channels = int(listed[0].strip(",")) if listed and listed[0].strip(",").isdigit() else 1
    filters = "aformat=sample_fmts=fltp:channel_layouts=mono"
    if channels > 2:  # of two, ffmpeg takes the mean by itself, also where they become one
        mix = "+".join(f"{1 / channels}*c{k}" for k in range(channels))
        filters = f"aformat=sample_fmts=fltp,pan=mono|c0={mix}"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0"]
    command += ["-af", filters, "-ar", str(RATE)]
    decoded = subprocess.run([*command, "-f", "f32le", "pipe:1"], capture_output=True, check=False)
    return np.frombuffer(decoded.stdout[: len(decoded.stdout) // 4 * 4], np.float32)


def difference(predictor: Predictor, path: Path) -> str | None:
    """Return how a file differs from its reference, or None."""
    expected = reference(path)
    try:
        ours = predictor.predict(path)
    except AudioError as error:
        return (
            f"refused ({error.reason}), ffmpeg decodes {len(expected) / RATE:.2f} s"
            * bool(len(expected))
            or None
        )
    if not len(expected):
        return f"{ours.duration:.2f} s, ffmpeg decodes nothing"
    if abs(ours.duration - len(expected) / RATE) > SECONDS:
        return f"{ours.duration:.2f} s, ffmpeg decodes {len(expected) / RATE:.2f} s"
    if not np.isfinite(expected).all():
        return f"{ours.duration:.2f} s, ffmpeg decodes samples that are not finite"
    theirs = predictor.predict_samples(expected, RATE)
    rows = min(len(ours), len(theirs))
    distances = np.abs(ours.quadrant[:rows] - theirs.quadrant[:rows]).max(axis=1)
    if not (differ := np.flatnonzero(distances > ROWS)).size:
        return None
    where = f"{len(differ)} of {rows} rows, {differ[0]} to {differ[-1]},"
    return f"{where} differ by up to {distances.max():.3f}"


def versions() -> str:
    """Return the versions of FFmpeg in PyAV and of the program."""
    program = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    return f"PyAV has FFmpeg {av.ffmpeg_version_info}, the program is {program.stdout.split()[2]}"


def main() -> None:
    """Compare all files below a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    warnings.simplefilter("ignore")
    predictor, counts = Predictor.load(), [0, 0]
    for path in sorted(parser.parse_args().folder.rglob("*")):
        if path.is_file():
            found = difference(predictor, path)
            counts[found is not None] += 1
            if found:
                print(f"{path}: {found}", flush=True)
    print(f"{sum(counts)} files, {counts[1]} differ; {versions()}")
    sys.exit(counts[1] > 0)


if __name__ == "__main__":
    main()
