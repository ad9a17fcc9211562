import pickle

import numpy as np
import pytest
import soundfile

from helpers.sounds import music, tone
from helpers.tiny_model import write_model
from quadpred.predictor import ModelError, Predictor

torch = pytest.importorskip("torch")

from quadpred.train import hear  # noqa: E402

RATE = 16_000


@pytest.fixture
def model(tmp_path):
    write_model(tmp_path / "with.onnx", embedding=True)
    return tmp_path / "with.onnx"


def test_the_interface_of_hear(model):
    loaded = hear.load_model(str(model))
    assert isinstance(loaded, torch.nn.Module)
    assert loaded.sample_rate == RATE
    sounds = np.stack([music(3, RATE, seed=seed) for seed in (0, 1)])
    audio = torch.from_numpy(sounds)
    scenes = hear.get_scene_embeddings(audio, loaded)
    assert scenes.shape == (2, loaded.scene_embedding_size)
    assert scenes.dtype == torch.float32
    embeddings, times = hear.get_timestamp_embeddings(audio, loaded)
    assert embeddings.shape == (2, 3, loaded.timestamp_embedding_size)
    assert times.tolist() == [[500, 1500, 2500]] * 2
    expected = Predictor(model).predict_samples(sounds[1], RATE, embeddings=True)
    assert torch.equal(embeddings[1], torch.from_numpy(expected.embedding))
    assert torch.equal(scenes[1], torch.from_numpy(expected.pooled_embedding()))


def test_hear_needs_embeddings(tmp_path):
    write_model(tmp_path / "without.onnx")
    with pytest.raises(ModelError, match="has no output 'embedding'"):
        hear.load_model(str(tmp_path / "without.onnx"))


def test_a_classifier_of_scikit_learn(model, tmp_path):
    sklearn = pytest.importorskip("sklearn")
    from sklearn.model_selection import cross_val_score

    from quadpred.train.estimator import RecordingClassifier

    paths, labels = [], []
    for number in range(6):
        for label, hertz in (("low", 200), ("high", 3000)):
            paths.append(str(tmp_path / f"{label}{number}.wav"))
            labels.append(label)
            soundfile.write(paths[-1], tone(2, RATE, hertz=hertz + 10 * number), RATE)
    classifier = RecordingClassifier(model)
    assert sklearn.base.clone(classifier).get_params() == {"C": 1.0, "model": model}
    classifier.fit(paths[:8], labels[:8])
    assert classifier.classes_.tolist() == ["high", "low"]
    probabilities = classifier.predict_proba(paths[8:])
    assert probabilities.shape == (4, 2)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(4))
    assert classifier.predict(paths[8:]).tolist() == labels[8:]
    again = pickle.loads(pickle.dumps(classifier))
    assert again.predict(paths[8:]).tolist() == labels[8:]
    assert cross_val_score(RecordingClassifier(model), paths, labels, cv=2).tolist() == [1, 1]
