"""Values of teacher networks, for knowledge distillation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quadpred.train.corpora import Clip, Manifest, ManifestError
from quadpred.train.data.log_mels import Half

__all__ = ["teacher_values"]


def teacher_values(manifests: Sequence[Manifest]) -> dict[Path, Half]:
    """Read the teacher's values of every second of clips.

    Args:
        manifests: their data sheets name the archives: one array of shape (seconds, values) per
            clip, under the stem of its file name.

    Returns:
        Arrays by the path of the clip; empty where no corpus has an archive.

    Raises:
        ManifestError: an archive holds anything else, or archives differ in width.
    """
    values: dict[Path, Half] = {}
    for manifest in manifests:
        if manifest.sheet.teacher:
            values |= _archived(manifest.clips, manifest.sheet.teacher)
    widths = {array.shape[1] for array in values.values()}
    if len(widths) > 1:
        names = ", ".join(m.sheet.name for m in manifests if m.sheet.teacher)
        found = " and ".join(map(str, sorted(widths)))
        raise ManifestError(f"{names}: teacher archives differ in width ({found}); use one teacher")
    return values


def _archived(clips: Sequence[Clip], path: str) -> dict[Path, Half]:
    try:
        with open(path, "rb") as file, np.load(file) as archive:
            stored = [clip.path for clip in clips if clip.path.stem in archive]
            named = {clip: archive[clip.stem].astype(np.float16) for clip in stored}
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except Exception:  # a damaged file raises errors of zip, zlib, NumPy and more
        raise ManifestError(f"{path}: not a NumPy archive (.npz) of numbers") from None
    for clip, values in named.items():
        if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
            raise ManifestError(
                f"{path}: {clip.stem} must be an array (seconds, values) of finite numbers"
            )
    return named
