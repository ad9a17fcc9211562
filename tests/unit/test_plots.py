import io
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.image import imread

from quadpred.labels import AROUSAL, HEADS, QUADRANT
from quadpred.plots import style
from quadpred.plots.evaluation import confusion_matrix
from quadpred.plots.taggram import save_taggram, taggram
from quadpred.prediction import ModelInfo, Prediction, margin


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def predict(seconds, silent=(), source="anger_1.mp3", name="english-to-english"):
    random = np.random.default_rng(0)
    heads = [
        random.dirichlet(np.ones(len(head.classes)), seconds).astype(np.float32) for head in HEADS
    ]
    flags = np.isin(np.arange(seconds), list(silent))
    origin = ModelInfo(name, "english", "english", "0" * 64)
    return Prediction(*heads, flags, seconds, origin, source)


def pixels(prediction):
    """The picture as an array of shape (height, width, 4), 0 to 255."""
    file = io.BytesIO()
    save_taggram(prediction, file)
    file.seek(0)
    return np.rint(imread(file) * 255).astype(int)


def words(figure):
    """All that is written in a figure, as one text a place."""
    found = [text.get_text() for text in figure.texts]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for label in axes.get_xticklabels()]
        found.append(axes.get_xlabel())
        found.append(axes.get_ylabel())
    return found


def images(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


def headline(source, **options):
    return taggram(predict(3, source=source, **options)).texts[0].get_text()


def test_one_heat_map_a_head_on_one_time_axis():
    prediction = predict(30)
    shown = images(taggram(prediction))
    assert [image.get_array().shape for image in shown] == [(4, 30), (2, 30), (2, 30)]
    assert {image.axes.get_xlim() for image in shown} == {(0, 30)}
    assert {image.get_clim() for image in shown} == {(0, 1)}
    quadrant, arousal, valence = (image.get_array() for image in shown)
    assert np.allclose(quadrant, prediction.quadrant.T)  # Q1 is the row at the top
    assert np.allclose(arousal[0], prediction.arousal[:, 1])  # positive above negative
    assert np.allclose(valence[0], prediction.valence[:, 1])
    assert all(image.axes.get_ylim()[0] > image.axes.get_ylim()[1] for image in shown)


def test_the_picture_has_the_colours_of_the_rows():
    prediction = predict(3)
    figure = taggram(prediction)
    picture = pixels(prediction)
    for image in images(figure):
        rows, columns = image.get_array().shape
        for row in range(rows):
            for column in range(columns):
                x, y = image.axes.transData.transform((column + 0.5, row + 0.5))
                colour = image.cmap(image.get_array()[row, column], bytes=True)
                found = picture[len(picture) - 1 - int(y), int(x)]
                assert np.abs(found - np.array(colour).astype(int)).max() <= 1


def test_everything_is_written():
    prediction = predict(30)
    found = words(taggram(prediction))
    mean = prediction.mean(QUADRANT)
    title = QUADRANT.titles[mean.argmax()]
    assert "anger_1.mp3" in found
    assert any(title in text and f"{mean.max():.2f}" in text for text in found)
    assert any("english-to-english" in text for text in found)
    assert {"Quadrant", "Arousal", "Valence", "probability", "Time (s)"} <= set(found)
    assert found.count("positive") == found.count("negative") == 2
    for name in QUADRANT.classes:
        assert sum(text.startswith(f"{name} ") for text in found) == 1
    for head in HEADS:
        assert {f"{value:.2f}" for value in prediction.mean(head)} <= set(found)


def test_the_most_probable_classes_are_bold():
    prediction = predict(30)
    for axes, head in zip(taggram(prediction).axes, HEADS, strict=False):
        bold = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
        winner = head.classes[prediction.mean(head).argmax()]
        assert [text.split()[0] for text in bold] == [
            winner,
            f"{prediction.mean(head).max():.2f}",
        ]


@pytest.mark.parametrize(
    ("seconds", "label", "ticks"),
    [
        (1, "Time (s)", ["0", "1"]),
        (30, "Time (s)", ["0", "5", "10", "15", "20", "25", "30"]),
        (119, "Time (s)", ["0", "15", "30", "45", "60", "75", "90", "105"]),
        (215, "Time (m:ss)", ["0:00", "0:30", "1:00", "1:30", "2:00", "2:30", "3:00", "3:30"]),
        (7200, "Time (h:mm)", [f"{t // 60}:{t % 60:02}" for t in range(0, 121, 15)]),
        (36_000, "Time (h:mm)", [f"{hour}:00" for hour in range(11)]),
        (200_000, "Time (h:mm)", ["0:00", "55:33"]),
    ],
)
def test_time_axis(seconds, label, ticks):
    axes = taggram(predict(seconds)).axes[len(HEADS) - 1]
    assert axes.get_xlabel() == label
    assert [text.get_text() for text in axes.get_xticklabels()] == ticks
    places = axes.get_xticks()
    assert places[0] == 0
    assert places[-1] <= seconds


def test_size_grows_with_the_clip_and_then_no_more():
    widths = [taggram(predict(seconds)).get_figwidth() for seconds in (1, 30, 39, 600, 36_000)]
    assert widths[0] >= 6
    assert widths == sorted(widths)
    assert widths[2] == widths[3] == widths[4] <= 12
    assert max(image.get_array().shape[1] for image in images(taggram(predict(36_000)))) <= 1170


def test_long_clips_are_averaged():
    prediction = predict(36_000)
    image = images(taggram(prediction))[0].get_array()
    assert np.allclose(image.mean(axis=1), prediction.mean(QUADRANT), atol=1e-3)
    assert np.allclose(image.sum(axis=0), 1)


def test_silent_seconds_are_hatched_and_explained():
    loud, quiet = predict(30), predict(30, silent=[0, 1, 29])
    assert "silent" not in words(taggram(loud))
    figure = taggram(quiet)
    assert "silent" in words(figure)
    for image in images(figure):
        masked = np.ma.getmaskarray(image.get_array())
        assert np.array_equal(masked, np.broadcast_to(quiet.silent, masked.shape))
        (hatching,) = image.axes.collections[:1]
        assert hatching.get_hatch()
        spans = [path.get_extents() for path in hatching.get_paths()]
        assert [(span.x0, span.x1) for span in spans] == [(0, 2), (29, 30)]


def doubting(prediction, share):
    """The prediction of a model that is uncertain of a share of its seconds."""
    threshold = float(np.quantile(margin(prediction.quadrant), share))
    model = replace(prediction.model, min_margin_second=threshold, min_margin_clip=share)
    return replace(prediction, model=model)


def test_uncertain_seconds_are_underlined_and_explained():
    sure, unsure = predict(30, silent=[0]), doubting(predict(30, silent=[0]), 0.5)
    assert "uncertain" not in " ".join(words(taggram(sure)))
    figure = taggram(unsure)
    assert "uncertain" in words(figure)
    assert any("uncertain" in text.get_text() for text in figure.texts)
    line = images(figure)[0].axes.collections[-1]
    spans = [path.get_extents() for path in line.get_paths()]
    marked = np.zeros(30, bool)
    for span in spans:
        marked[int(span.x0) : int(span.x1)] = True
    assert np.array_equal(marked, unsure.uncertain_seconds & ~unsure.silent)


def test_uncertainty_of_a_long_clip_is_that_of_most_seconds_of_a_column():
    for share, underlined in ((0.05, 0), (0.95, 36_000)):
        line = images(taggram(doubting(predict(36_000), share)))[0].axes.collections[-1]
        spans = [path.get_extents() for path in line.get_paths()]
        assert sum(span.width for span in spans) == pytest.approx(underlined, abs=200)


def test_silence_within_a_long_clip():
    prediction = predict(36_000, silent=[*range(600, 1200), *range(2000, 36_000, 2)])
    masked = np.ma.getmaskarray(images(taggram(prediction))[0].get_array())[0]
    # Only what is silent throughout is shown so; a column is 31 seconds wide.
    assert np.flatnonzero(masked).tolist() == list(range(20, 39))


def test_silent_seconds_do_not_count_in_an_average():
    prediction = predict(36_000, silent=range(0, 36_000, 2))
    prediction.quadrant[prediction.silent] = [1, 0, 0, 0]
    prediction.quadrant[~prediction.silent] = [0, 0, 0, 1]
    image = images(taggram(prediction))[0].get_array()
    assert not np.ma.getmaskarray(image).any()
    assert np.array_equal(image, np.broadcast_to([[0], [0], [0], [1]], image.shape))


def test_a_silent_clip():
    figure = taggram(predict(5, silent=range(5)))
    assert "silent" in words(figure)
    assert all(image.get_array().mask.all() for image in images(figure))


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("songs/anger_1.mp3", "anger_1.mp3"),
        ("", "Samples"),
        ("$x^2$ $.mp3", "$x^2$ $.mp3"),
        (r"a\b_{2}%&#.mp3", r"a\b_{2}%&#.mp3"),
        (r"$\nonsense{$.mp3", r"$\nonsense{$.mp3"),
        ("Ødegård ♫ Шум.mp3", "Ødegård ♫ Шум.mp3"),
        ("a\nb\udcff.mp3", "a□b□.mp3"),
    ],
)
def test_any_file_name_can_be_drawn(source, shown):
    assert headline(source) == shown
    pixels(predict(3, source=source))


def test_letters_without_a_font_become_boxes(monkeypatch):
    monkeypatch.setattr(style, "MORE_FONTS", ())
    prediction = predict(3, source="愤怒 1.mp3", name="模型")
    assert taggram(prediction).texts[0].get_text() == "□□ 1.mp3"
    pixels(prediction)


def test_another_font_draws_what_the_first_cannot(monkeypatch):
    # This one comes with matplotlib too, and has a sign, bold as well, that DejaVu Sans lacks.
    font, name = "STIXGeneral", "a⌢.mp3"
    assert headline(name) == "a□.mp3"
    monkeypatch.setattr(style, "MORE_FONTS", ("No Such Font", font))
    assert headline(name) == name
    figure = taggram(predict(3, source=name))
    assert figure.texts[0].get_fontfamily() == ["DejaVu Sans", font]
    pixels(predict(3, source=name))


def test_a_long_name_is_shortened_in_its_middle():
    figure = taggram(predict(3, source=f"first {'very ' * 60}last.flac"))
    line = figure.texts[0]
    assert line.get_text().startswith("first very")
    assert line.get_text().endswith("very last.flac")
    assert line.get_text().count("…") == 1
    assert line.get_window_extent().x1 < figure.bbox.x1
    assert line.get_window_extent().width > 0.8 * figure.bbox.width


@pytest.mark.parametrize("seconds", [1, 30, 36_000])
def test_nothing_is_cut_off_and_no_texts_overlap(seconds):
    figure = taggram(predict(seconds, silent=[0]))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    boxes += [text.get_window_extent() for text in [*figure.texts, *figure.legends[0].get_texts()]]
    for axes in figure.axes:
        axis = axes.xaxis if axes.images else axes.yaxis
        boxes += [text.get_window_extent() for text in [*axis.get_ticklabels(), axis.label]]
        if axes.images:
            boxes.append(axes.get_window_extent())
    boxes = [box for box in boxes if box.width > 1]
    for place, box in enumerate(boxes):
        assert figure.bbox.containsx(box.x0)
        assert figure.bbox.containsx(box.x1)
        assert figure.bbox.containsy(box.y0)
        assert figure.bbox.containsy(box.y1)
        assert not any(box.overlaps(other) for other in boxes[:place])


def test_colours_are_perceptually_ordered():
    colours = images(taggram(predict(3)))[0].cmap(np.linspace(0, 1, 50))[:, :3]
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) < 0).all()


def test_the_users_own_style_changes_nothing():
    expected = pixels(predict(3, silent=[0]))
    with rc_context({"font.size": 20, "axes.grid": True, "savefig.bbox": "tight"}):
        assert np.array_equal(pixels(predict(3, silent=[0])), expected)


def test_it_is_written_to_a_path_as_to_a_file(tmp_path):
    save_taggram(predict(3), tmp_path / "a.picture")
    assert (tmp_path / "a.picture").read_bytes().startswith(b"\x89PNG")


def test_pyplot_is_not_imported():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; from test_plots import *;"
        "save_taggram(predict(30), io.BytesIO());"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    folder = __file__.rpartition("test_plots")[0]
    subprocess.run([sys.executable, "-c", code, folder], check=True)


class TestConfusionMatrix:
    COUNTS = np.array([[8, 2], [0, 0]])

    def test_shares_of_rows_and_counts(self):
        figure = confusion_matrix(self.COUNTS, AROUSAL, unit="window")
        (image,) = images(figure)
        np.testing.assert_allclose(image.get_array(), [[0.8, 0.2], [0, 0]])
        written = words(figure)
        assert {"80%", "8", "20%", "2", "negative", "positive", "true", "predicted"} <= {*written}
        assert "Arousal by window" in written
        assert any("10 windows" in text for text in written)

    def test_truth_is_at_the_side(self):
        figure = confusion_matrix(np.arange(16).reshape(4, 4), QUADRANT)
        (axes,) = figure.axes
        (cell,) = (text for text in axes.texts if text.get_text() == "7")
        column, row = cell.get_position()
        assert (round(row), column) == (1, 3)  # Q2, taken for Q4
        assert [label.get_text()[:2] for label in axes.get_yticklabels()] == [*QUADRANT.classes]
        assert [label.get_text() for label in axes.get_xticklabels()] == [*QUADRANT.classes]

    def test_nothing_is_cut_off_or_overlaps(self):
        for head in HEADS:
            counts = np.full((len(head.classes), len(head.classes)), 99_999)
            figure = confusion_matrix(counts, head)
            figure.canvas.draw()
            (axes,) = figure.axes
            width, height = figure.canvas.get_width_height()
            for text in [axes.yaxis.label, axes.xaxis.label, *axes.get_yticklabels()]:
                box = text.get_window_extent()
                assert 0 <= box.x0 <= box.x1 <= width
                assert 0 <= box.y0 <= box.y1 <= height
