import csv
import os
import sys
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.sounds import music, tone
from helpers.tiny_model import write_model
from quadpred.batch.similar import similar
from quadpred.cli.app import app
from quadpred.features import FeatureConfig, log_mel
from quadpred.predictor import ModelError, Predictor

RATE = 16_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with models with and without embeddings."""
    monkeypatch.chdir(tmp_path)
    write_model(Path("with.onnx"), embedding=True)
    write_model(Path("without.onnx"))
    return tmp_path


def record(name, samples):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(name, samples, RATE)
    return Path(name)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


def test_files_are_embedded_second_by_second():
    samples = music(70.2, RATE)  # more than one block of the network
    song = record("song.wav", samples)
    predictor = Predictor("with.onnx")
    assert (predictor.has_embedding, predictor.embedding_width) == (True, 128)
    embedding = predictor.embed(song)
    assert (embedding.shape, embedding.dtype) == ((70, 128), np.float32)
    # The tiny model's embedding is the mean frame of each second.
    config = FeatureConfig()
    frames = log_mel(soundfile.read(song, dtype="float32")[0], config)
    rows = [frames[start : start + 32].mean(axis=0) for start in map(config.row_start, range(70))]
    assert np.abs(embedding - rows).max() < 1e-3
    prediction = predictor.predict(song, embeddings=True)
    assert (prediction.embedding == embedding).all()
    assert prediction.pooled_embedding() == pytest.approx(embedding.mean(axis=0), abs=1e-4)


def test_models_without_embeddings_say_so():
    song = record("song.wav", music(2, RATE))
    assert Predictor("without.onnx").predict(song).embedding is None
    with pytest.raises(ModelError, match=r"without\.onnx: has no output 'embedding'"):
        Predictor("without.onnx").embed(song)
    record("music/a.wav", music(2, RATE))
    for arguments in (
        ["predict", "music", "-o", "out", "--format", "embedding"],
        ["similar", "song.wav", "--summary", "out/summary.csv"],
    ):
        line = run(*arguments, "--model", "without.onnx", code=2).stderr
        assert line == "quadpred: without.onnx: has no output 'embedding'; export the model again\n"
    assert not Path("out").exists()


def deflated(archive):
    """An npz, compressed, with damage in the array `recording`."""
    content = BytesIO()
    with np.load(BytesIO(archive)) as saved:
        np.savez_compressed(content, **saved)
    damaged = bytearray(content.getvalue())
    with ZipFile(content) as members:
        start = members.getinfo("recording.npy").header_offset + 80
    damaged[start : start + 40] = b"\xff" * 40
    return bytes(damaged)


def test_libraries_are_embedded_and_searched():
    record("music/low.wav", tone(3, RATE, hertz=220))
    record("music/lower.wav", tone(3, RATE, hertz=210))
    record("music/high.wav", tone(3, RATE, hertz=4000))
    model = ["--model", "with.onnx"]
    run("predict", "music", "-o", "out", "--format", "embedding", "--jobs", "1", *model)
    with np.load("out/low.wav.npz") as saved:
        assert saved["seconds"].shape == (3, 128)
        assert saved["recording"] == pytest.approx(saved["seconds"].mean(axis=0), abs=1e-4)
        assert str(saved["model"]) == Predictor("with.onnx").info.sha256
    lines = run(
        "similar", "music/low.wav", "--summary", "out/summary.csv", *model
    ).stdout.splitlines()
    names = [
        name for line in lines for name in ("lower.wav", "high.wav", "low.wav") if name in line
    ]
    assert names == ["lower.wav", "high.wav"]
    whole = Path("out/high.wav.npz").read_bytes()
    method = whole.rindex(b"PK\1\2") + 10  # of the last member
    unsupported = whole[:method] + b"\x63" + whole[method + 1 :]
    array = BytesIO()
    np.save(array, np.zeros(3))
    for content in (b"nonsense", b"", whole[:300], unsupported, array.getvalue(), deflated(whole)):
        Path("out/high.wav.npz").write_bytes(content)
        result = run("similar", "music/low.wav", "--summary", "out/summary.csv", *model)
        assert result.stderr == (
            "quadpred: 1 of 2 songs have no embeddings and are left out;"
            " run quadpred predict --format embedding again\n"
        )
    write_model(Path("other.onnx"), embedding=True, seed=1)
    result = run(
        "similar", "music/low.wav", "--summary", "out/summary.csv", "--model", "other.onnx", code=2
    )
    assert "out: has no embeddings of this model; run quadpred predict" in result.stderr
    with open("out/summary.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_names_that_are_not_unicode_are_found():
    record("music/low.wav", tone(3, RATE, hertz=220))
    os.rename(record("music/odd.wav", tone(3, RATE, hertz=210)), b"music/caf\xe9.wav")
    model = ["--model", "with.onnx"]
    for table in "csv", "parquet":
        out = Path(f"out-{table}")
        options = ["--format", "embedding", "--jobs", "1", *model]
        run("predict", "music", "-o", out, *options)
        result = run("similar", "music/low.wav", "--summary", out / f"summary.{table}", *model)
        assert result.stderr == ""
        assert "caf\\xe9.wav" in result.stdout


def test_similarity_is_the_cosine_about_the_librarys_mean():
    embeddings = np.array([[11, 10], [10, 11], [9, 10], [10, 9]], np.float32)
    found = similar(np.array([12, 10], np.float32), ["a", "b", "c", "d"], embeddings, 3)
    assert [(each.song, round(each.similarity, 6)) for each in found] == [
        ("a", 1.0),
        ("b", 0.0),
        ("d", 0.0),
    ]
