"""Peak memory of `quadpred predict` for files from 10 seconds to 10 hours."""

import sys
import tempfile
from pathlib import Path

from audio import song
from commands import cost_of

LENGTHS = (10, 180, 3600, 36_000)  # seconds


def main() -> None:
    print(f"{'seconds':>8}{'peak MB':>10}{'ratio to 3 min':>16}")
    peaks = {}
    for seconds in LENGTHS:
        with tempfile.TemporaryDirectory() as folder:
            wav = song(Path(folder) / "song.wav", seconds, rate=8000)
            command = [sys.executable, "-m", "quadpred", "predict", str(wav), "-o", folder + "/"]
            peaks[seconds] = cost_of(command).peak
    for seconds, peak in peaks.items():
        print(f"{seconds:8}{peak:10.0f}{peak / peaks[180]:16.2f}")


if __name__ == "__main__":
    main()
