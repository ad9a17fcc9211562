"""The paper's pipeline with current librosa, Keras and matplotlib; weights are random.

python benchmarks/paper_pipeline.py INPUT OUTPUT.npy
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import librosa
import numpy as np
from keras import layers


def network() -> keras.Model:
    """The paper's classifier: three pairs of convolutions, three dense layers, three heads."""
    inputs = keras.Input((128, 31, 1))
    x = layers.BatchNormalization()(inputs)
    for filters, pool in ((32, 4), (64, 4), (128, 2)):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
            x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D((pool, 1))(x)
        x = layers.Dropout(0.25)(x)
    x = layers.Flatten()(layers.MaxPooling2D((2, 1))(x))
    for _ in range(3):
        x = layers.Dropout(0.25)(layers.Dense(512, activation="relu")(x))
    heads = []
    for classes in (4, 2, 2):
        y = x
        for _ in range(2):
            y = layers.Dense(512, activation="relu")(y)
        heads.append(layers.Dense(classes, activation="softmax")(y))
    return keras.Model(inputs, heads)


def predict(model: keras.Model, path: str) -> list[np.ndarray]:
    """Load, resample, normalise, log-mel, cut into windows and predict."""
    samples, _ = librosa.load(path, sr=16_000)
    samples = samples / np.abs(samples).max()
    magnitude = np.abs(librosa.stft(samples, n_fft=2048, win_length=1024, hop_length=512))
    mel = librosa.feature.melspectrogram(S=magnitude, sr=16_000, n_mels=128)
    log_mel = np.log(mel + np.finfo(np.float32).eps)
    windows = np.stack(np.split(log_mel[:, : log_mel.shape[1] // 31 * 31], mel.shape[1] // 31, 1))
    return [np.asarray(head) for head in model.predict(windows[..., None], verbose=0)]


def draw(heads: list[np.ndarray], path: str) -> None:
    """Draw one heat map over time per head."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(12, 8))
    for axis, head in zip(axes, heads, strict=True):
        axis.imshow(head.T, aspect="auto", vmin=0, vmax=1)
    figure.savefig(path)


if __name__ == "__main__":
    source, output = sys.argv[1:]
    predictions = predict(network(), source)
    np.save(output, predictions[0])
    draw(predictions, str(Path(output).with_suffix(".png")))
