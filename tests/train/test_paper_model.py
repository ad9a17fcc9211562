"""The paper's layout with random weights, compared with the same network in PyTorch."""

import json

import numpy as np
import onnxruntime
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.sounds import music
from quadpred.cli.app import app
from quadpred.features import log_mel
from quadpred.predictor import Predictor

h5py = pytest.importorskip("h5py")
torch = pytest.importorskip("torch")
F = torch.nn.functional

from quadpred.train.paper_model import (  # noqa: E402
    FEATURES,
    PaperModelError,
    convert_paper_models,
)

POOLS = (4, 4, 2)


class Keras:
    """A description and weights in the layout of Keras 2, and the network in PyTorch."""

    def __init__(self, heads=(4, 2, 2), channels_first=True, seed=0):
        self.random = np.random.default_rng(seed)
        self.layers, self.weights = [], {}
        self.format = "channels_first" if channels_first else "channels_last"
        shape = [None, 1, 128, 31] if channels_first else [None, 128, 31, 1]
        self.last = self.add("InputLayer", batch_input_shape=shape)
        self.time = -1 if channels_first else 2
        self.normalise()
        channels = 1
        for width, pool in zip((4, 6, 8), POOLS, strict=True):
            for _ in range(2):
                self.convolve(channels, width)
                self.normalise()
                channels = width
            self.pool(pool)
            self.add("Dropout", rate=0.25)
        self.pool(2)
        self.add("Flatten", data_format=self.format)
        self.dense(8 * 2 * 31, 16, "relu")
        trunk = self.last
        self.outputs = []
        for size in heads:
            self.last = trunk
            self.dense(16, 16, "relu")
            self.dense(16, size, "softmax")
            self.outputs.append(self.last)

    def add(self, kind, **config):
        name = f"{kind.lower()}_{len(self.layers)}"
        inbound = [] if kind == "InputLayer" else [[[self.last, 0, 0, {}]]]
        config = {"name": name, **config}
        self.layers.append(
            {"class_name": kind, "name": name, "config": config, "inbound_nodes": inbound}
        )
        self.last = name
        return name

    def normalise(self):
        name = self.add("BatchNormalization", axis=[self.time], epsilon=0.001)
        self.weights[name] = {
            "gamma": self.random.uniform(0.5, 1.5, 31),
            "beta": self.random.normal(0, 0.1, 31),
            "moving_mean": self.random.normal(0, 0.5, 31),
            "moving_variance": self.random.uniform(0.5, 2, 31),
        }

    def convolve(self, inputs, outputs):
        name = self.add(
            "Conv2D", padding="same", strides=[1, 1], activation="relu", data_format=self.format
        )
        self.weights[name] = {
            "kernel": self.random.normal(0, 0.3, (3, 3, inputs, outputs)),
            "bias": self.random.normal(0, 0.1, outputs),
        }

    def pool(self, size):
        self.add(
            "MaxPooling2D", pool_size=[size, 1], strides=[size, 1], padding="valid",
            data_format=self.format,
        )  # fmt: skip

    def dense(self, inputs, outputs, activation):
        name = self.add("Dense", activation=activation)
        self.weights[name] = {
            "kernel": self.random.normal(0, inputs**-0.5, (inputs, outputs)),
            "bias": self.random.normal(0, 0.1, outputs),
        }

    def document(self):
        config = {"layers": self.layers, "output_layers": [[name, 0, 0] for name in self.outputs]}
        return {"class_name": "Model", "config": config, "keras_version": "2.2.4"}

    def save(self, stem):
        stem.parent.mkdir(parents=True, exist_ok=True)
        stem.with_suffix(".json").write_text(json.dumps(self.document()))
        with h5py.File(stem.with_suffix(".h5"), "w") as file:
            for layer, weights in self.weights.items():
                for name, values in weights.items():
                    file[f"{layer}/{layer}/{name}:0"] = values.astype(np.float32)

    def predict(self, windows):
        """Run the layers in PyTorch; windows have the shape (windows, frames, mels)."""
        x = torch.from_numpy(windows).double().transpose(1, 2)[:, None]
        tensors, outputs = {}, []
        for layer in self.layers:
            kind, config = layer["class_name"], layer["config"]
            weights = {
                k: torch.from_numpy(v) for k, v in self.weights.get(layer["name"], {}).items()
            }
            if layer["inbound_nodes"]:
                x = tensors[layer["inbound_nodes"][0][0][0]]
            if kind == "BatchNormalization":  # over time, the last axis here
                deviation = (weights["moving_variance"] + 0.001).sqrt()
                x = (x - weights["moving_mean"]) / deviation * weights["gamma"] + weights["beta"]
            elif kind == "Conv2D":
                x = F.conv2d(x, weights["kernel"].permute(3, 2, 0, 1), weights["bias"], padding=1)
            elif kind == "MaxPooling2D":
                x = F.max_pool2d(x, config["pool_size"])
            elif kind == "Flatten":  # both formats flatten with channels last
                x = x.permute(0, 2, 3, 1).flatten(1)
            elif kind == "Dense":
                x = x @ weights["kernel"] + weights["bias"]
            x = {"relu": F.relu, "softmax": lambda t: t.softmax(-1)}.get(
                config.get("activation"), lambda t: t
            )(x)
            tensors[layer["name"]] = x
        outputs = [tensors[name].numpy() for name in self.outputs]
        return [rows.astype(np.float32) for rows in outputs]


@pytest.fixture
def checkout(tmp_path):
    """A repository with an example, which has no rows yet."""
    (tmp_path / "repository" / "audio").mkdir(parents=True)
    samples = music(5.5, 16_000)
    soundfile.write(tmp_path / "repository/audio/anger_1.mp3", samples, 16_000, format="MP3")
    return tmp_path / "repository"


def windows_of(checkout):
    from quadpred.audio import read_blocks

    samples = np.concatenate(list(read_blocks(checkout / "audio/anger_1.mp3", 16_000)))
    frames = log_mel(samples / np.abs(samples).max(), FEATURES)
    return frames[: len(frames) // 31 * 31].reshape(-1, 31, 128)


def add_example(checkout, model, noise=0.0):
    rows = model.predict(windows_of(checkout))[0]
    rows[0] += noise * (np.arange(4) - 1.5) / 1.5
    np.save(checkout / "audio" / "anger_1.npy", rows)


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("heads", [(4, 2, 2), (4,)])
def test_models_are_converted(checkout, tmp_path, heads, channels_first):
    model = Keras(heads, channels_first)
    model.save(checkout / "models" / "english")
    add_example(checkout, model)
    (converted,) = convert_paper_models(checkout, tmp_path / "out")
    assert converted.path == tmp_path / "out" / "models.english.onnx"
    assert converted.difference < 1e-5
    assert converted.parameters == sum(v.size for w in model.weights.values() for v in w.values())
    windows = windows_of(checkout)
    session = onnxruntime.InferenceSession(converted.path)
    got = session.run(None, {"log_mel": windows})
    expected = model.predict(windows)
    assert np.abs(got[0][:, 0] - expected[0]).max() < 1e-5
    if heads == (4,):  # arousal and valence are sums of quadrants
        quadrants = expected[0]
        assert np.abs(got[1][:, 0, 1] - quadrants[:, [0, 1]].sum(axis=1)).max() < 1e-5
        assert np.abs(got[2][:, 0, 1] - quadrants[:, [0, 3]].sum(axis=1)).max() < 1e-5
    else:
        for mine, theirs in zip(got[1:], expected[1:], strict=True):
            one = np.abs(mine[:, 0] - theirs).max()
            other = np.abs(mine[:, 0] - theirs[:, ::-1]).max()
            assert min(one, other) < 1e-5
    prediction = Predictor(converted.path).predict(checkout / "audio" / "anger_1.mp3")
    assert len(prediction) == 6
    assert prediction.quadrant.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)


def test_one_of_several_models_must_agree_with_the_example(checkout, tmp_path):
    models = [Keras(seed=seed) for seed in (0, 5)]
    for number, model in enumerate(models):
        model.save(checkout / "models" / str(number) / "model")
    add_example(checkout, models[1])
    differences = [model.difference for model in convert_paper_models(checkout, tmp_path / "out")]
    assert differences[1] < 1e-5
    assert differences[0] is None
    add_example(checkout, models[1], noise=0.9)
    with pytest.raises(PaperModelError, match=r"anger_1\.npy: no model reproduces it"):
        convert_paper_models(checkout, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_command(checkout, tmp_path):
    model = Keras()
    model.save(checkout / "model")
    add_example(checkout, model, noise=0.03)
    arguments = ["convert-paper-model", str(checkout), "-o", str(tmp_path / "out"), "-s", "m"]
    result = CliRunner().invoke(app, [*arguments, "-m", "E"])
    assert result.exit_code == 0, result.output
    assert "largest difference 0.03" in result.stdout
    assert "warning: " in result.stderr
    info = Predictor(tmp_path / "out" / "model.onnx").info
    assert (info.speech, info.music) == ("mandarin", "english")
    result = CliRunner().invoke(app, [*arguments, "-m", "klingon"])
    assert "unknown language 'klingon'" in result.stderr


def test_what_cannot_be_converted(checkout, tmp_path):
    with pytest.raises(PaperModelError, match=r"anger_1\.npy: is missing"):
        convert_paper_models(checkout, tmp_path / "out")
    model = Keras()
    add_example(checkout, model)
    (checkout / "package.json").write_text("{}")
    with pytest.raises(PaperModelError, match="has no Keras model"):
        convert_paper_models(checkout, tmp_path / "out")
    model.save(checkout / "model")
    (checkout / "model.h5").write_bytes(b"nonsense")
    with pytest.raises(PaperModelError, match=r"model\.h5: not an HDF5 file"):
        convert_paper_models(checkout, tmp_path / "out")
    del model.weights[next(name for name in model.weights if "conv" in name)]["bias"]
    model.save(checkout / "model")
    with pytest.raises(PaperModelError, match="has no weights 'bias'"):
        convert_paper_models(checkout, tmp_path / "out")
    model = Keras()
    model.layers[5]["class_name"] = "LSTM"
    model.save(checkout / "model")
    with pytest.raises(PaperModelError, match="is an unsupported LSTM"):
        convert_paper_models(checkout, tmp_path / "out")
    assert not (tmp_path / "out").exists()
