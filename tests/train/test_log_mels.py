"""The cache of log-mels: what is damaged is named and computed again."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.corpora import RATE, speech
from quadpred.features import FeatureConfig
from quadpred.train.corpora import Clip
from quadpred.train.data.log_mels import LogMels


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    soundfile.write(tmp_path / "a.wav", speech(2, np.random.default_rng(0)), RATE)
    return Clip(tmp_path / "a.wav", "a", "")


def save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:40]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"\0" * path.stat().st_size),
        lambda path: save(path, np.zeros((0, 64), np.float16)),
        lambda path: save(path, np.zeros((50, 3), np.float16)),
        lambda path: save(path, np.zeros((50, 64), np.float32)),
        lambda path: save(path, np.array(None, object)),
        lambda path: save(path, np.asfortranarray(np.zeros((50, 64), np.float16))),
        lambda path: path.write_bytes(path.read_bytes().replace(b"}", b"(")),
        lambda path: path.write_bytes(b"PK\3\4" + bytes(100)),
    ],
)
def test_damaged_files_are_named_and_computed_again(clip, tmp_path, damage):
    warnings: list[str] = []
    cache = LogMels(FeatureConfig(mels=64), tmp_path / "cache", on_warning=warnings.append)
    (frames,) = cache.load([clip])
    expected = frames[:]
    (file,) = cache.folder.iterdir()
    damage(file)
    (again,) = cache.load([clip])
    assert np.array_equal(again[:], expected)
    assert warnings == [f"{file}: damaged; computing it again"]
    assert len(cache.load([clip])) == len(warnings) == 1


def test_a_recording_twice_at_once_leaves_one_file(clip, tmp_path):
    cache = LogMels(FeatureConfig(mels=64), tmp_path / "cache")
    loaded = cache.load([clip] * 8)
    assert all(np.array_equal(frames[:], loaded[0][:]) for frames in loaded)
    assert len(list(cache.folder.iterdir())) == 1


def test_parts_are_those_of_the_saved_array(clip, tmp_path):
    cache = LogMels(FeatureConfig(mels=64), tmp_path / "cache")
    (frames,) = cache.load([clip])
    (file,) = cache.folder.iterdir()
    whole = np.load(file)
    assert len(frames) == len(whole) > 40
    for part in (slice(None), slice(10, 30), slice(-5, None), slice(30, len(whole) + 9)):
        assert np.array_equal(frames[part], whole[part])


def test_loaded_clips_keep_no_file_open(clip, tmp_path):
    cache = LogMels(FeatureConfig(mels=64), tmp_path / "cache")
    cache.load([clip])
    before = len(os.listdir("/dev/fd"))
    loaded = cache.load([clip] * 8)
    assert len(os.listdir("/dev/fd")) == before
    assert len(loaded) == 8


def test_a_file_that_cannot_be_opened_is_not_called_damaged(clip, tmp_path, monkeypatch):
    warnings: list[str] = []
    cache = LogMels(FeatureConfig(mels=64), tmp_path / "cache", on_warning=warnings.append)
    cache.load([clip])
    (file,) = cache.folder.iterdir()

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match="Too many open files") as caught:
        cache.load([clip])
    assert caught.value.filename == str(file)
    assert not warnings
