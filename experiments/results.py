"""Results as JSON: how they were made, and the scores."""

import json
import platform
import subprocess
import sys
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from quadpred.files import atomic_write

__all__ = ["FOLDER", "load", "provenance", "save"]

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "onnxruntime", "soundfile", "soxr")


def provenance() -> dict[str, Any]:
    """State the command, the git revision and the versions that made a result.

    Of absolute paths, the last part is kept: folders of one machine are of no use elsewhere.
    """
    arguments = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,  # without git, there is no revision to state
    )
    return {
        "command": ["python", "-m", f"experiments.{Path(sys.argv[0]).stem}", *arguments],
        "revision": revision.stdout.strip(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def save(results: dict[str, Any], path: Path) -> None:
    """Write results as JSON; dataclasses become objects."""
    text = json.dumps(_plain(results), indent=1, allow_nan=False)
    with atomic_write(path) as (file,):
        file.write(f"{text}\n".encode())


def load(path: Path) -> dict[str, Any]:
    """Read results."""
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def _plain(value: Any) -> Any:
    """Turn dataclasses to dictionaries and round numbers to five digits after the point."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value
