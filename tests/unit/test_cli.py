import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import quadpred
from helpers.full_disk import large_files_refused
from helpers.tiny_model import write_model, write_weights
from quadpred import registry
from quadpred.cli.app import app
from quadpred.labels import HEADS
from quadpred.predictor import Predictor

SECONDS = 3
RATE = 16_000
SHIPPED = registry.WEIGHTS
FULL = "No space left on device; free some space or choose another folder"
TITLES = [title for head in HEADS for title in head.titles]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """Models made by code in place of those on board."""
    made = write_weights(tmp_path / "weights")
    monkeypatch.setattr(registry, "WEIGHTS", made)
    registry.models.cache_clear()
    yield made
    registry.models.cache_clear()


def record(path, seconds=SECONDS, silent=0, seed=0):
    """Write a wav of noise that begins with so many seconds of silence, and return its path."""
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    samples[: silent * RATE] = 0
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # soundfile refuses some names
        soundfile.write(file, samples, RATE, format="WAV")
    return path


@pytest.fixture
def clip(folder):
    return record("audio/anger_1.wav")


def run(*args, code=0, **options):
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def complaint(*args, code=2):
    """The one line that a failing command says, less its beginning."""
    return said(run(*args, code=code).stderr)


def test_options_of_the_whole_network_need_it():
    for option in ("--recipe", "base"), ("--cache", "cache"):
        line = complaint("adapt", "songs.csv", "-o", "mine.onnx", *option)
        assert line == "--recipe and --cache need --full"


def said(stderr):
    (line,) = stderr.splitlines()
    assert line.startswith("quadpred: ")
    assert line.isprintable()
    return line.removeprefix("quadpred: ")


def files(folder="."):
    """Every file below a folder, as text; sorted."""
    folder = pathlib.Path(folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def cold(*args, weights=None, before="", after="", **options):
    """Run the command in a process of its own, as a person's shell would."""
    code = f"""
        import sys, pathlib
        from quadpred import registry
        if sys.argv[1]:
            registry.WEIGHTS = pathlib.Path(sys.argv[1])
        del sys.argv[1]
        {before}
        from quadpred.cli.app import main
        try:
            main()
        finally:
            {after or "pass"}
    """
    code = textwrap.dedent(code)
    command = [sys.executable, "-c", code, str(weights or ""), *map(str, args)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **options}
    return subprocess.run(command, encoding="utf-8", **options)


# The lines that people know


def test_into_a_folder(clip):
    result = run("-s", "e", "-m", "e", "-i", clip, "-o", "out/")
    assert files("out") == ["anger_1.json", "anger_1.npy", "anger_1.png"]
    rows = np.load("out/anger_1.npy")
    assert rows.dtype == np.float32
    assert rows.shape == (SECONDS, 4)
    assert np.allclose(rows.sum(axis=1), 1)
    assert pathlib.Path("out/anger_1.png").read_bytes().startswith(b"\x89PNG")
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "Intra-linguistic: English speech → English music"
    assert lines[1] == "Model: english-to-english"
    assert lines[3] == "audio/anger_1.wav"
    assert lines[-1] == "Saved out/anger_1.npy, out/anger_1.json, out/anger_1.png"


def test_into_a_named_file(clip):
    run("-s", "e", "-m", "e", "-i", clip, "-o", "out/rows.npy")
    assert files("out") == ["rows.json", "rows.npy", "rows.png"]


def test_the_json_file_says_it_all(clip, weights):
    run("-i", clip, "-o", "out")
    said = json.loads(pathlib.Path("out/anger_1.json").read_bytes())
    listed = json.loads((weights / "models.json").read_text())
    assert said["model"]["sha256"] == listed["english-to-english"]["sha256"]
    assert said["source"] == "audio/anger_1.wav"
    assert said["duration"] == SECONDS
    assert said["quadpred"] == quadpred.__version__
    assert np.allclose(said["quadrant"]["rows"], np.load("out/anger_1.npy"), atol=1e-6)


def test_the_report_is_plain_aligned_text_in_a_pipe(clip):
    result = run("-i", clip, "-o", "out")
    assert result.stdout.isascii() or set(result.stdout) - set(map(chr, range(128))) == {"→"}
    assert "\x1b" not in result.output
    lines = result.stdout.splitlines()[4:12]
    assert [line.split(":")[0] for line in lines] == TITLES
    assert len({line.index("0.") for line in lines}) == 1
    means = json.loads(pathlib.Path("out/anger_1.json").read_bytes())["means"]
    expected = [mean for head in means.values() for mean in head.values()]
    assert [float(line.split(":")[1]) for line in lines] == pytest.approx(expected, abs=6e-4)


def test_the_report_has_bars_on_a_terminal(clip):
    result = run("-i", clip, env={"FORCE_COLOR": "1", "COLORTERM": "truecolor"})
    lines = result.stdout.splitlines()[4:12]
    for line, head in zip(lines, [HEADS[0]] * 4 + [HEADS[1]] * 2 + [HEADS[2]] * 2, strict=True):
        colour = head.colours[[title in line for title in head.titles].index(True)]
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        assert f"\x1b[38;2;{red};{green};{blue}m  " in line
        assert "█" in line or "▌" in line
    assert sum(line.startswith("\x1b[1m") for line in lines) == len(HEADS)


def test_long_lines_are_not_cut(folder):
    path = record(f"{'long/' * 30}{'x' * 90}.wav")
    result = run("-i", path, "-o", "out/")
    assert f"\n{path}\n" in result.stdout
    assert f"out/{path.stem}.png\n" in result.stdout


@pytest.mark.parametrize("command", [[], ["predict"]])
def test_predict_is_meant_when_no_command_is_named(clip, command):
    assert run(*command, clip).stdout == run("predict", "-i", clip).stdout


def test_a_file_with_the_name_of_a_command():
    record("models")
    assert "Quadrant 1" in run("predict", "models").stdout
    assert "Quadrant 1" in run("./models").stdout


def test_a_file_with_the_name_of_an_option():
    record("-x.wav")
    assert "Quadrant 1" in run("--", "-x.wav").stdout


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "Intra-linguistic: English speech → English music"),
        (["-s", "english", "--music", "ENGLISH"], "Intra-linguistic: English speech → English"),
        (["-m", "m"], "Cross-linguistic: English speech → Mandarin music"),
    ],
)
def test_case(clip, options, line):
    assert run(clip, *options).stdout.startswith(line)


def test_an_experimental_model_says_so(clip):
    result = run(clip, "-m", "mandarin")
    assert said(result.stderr) == "english-to-mandarin is experimental: trained on little music"


def test_a_model_file_of_ones_own(clip):
    write_model(pathlib.Path("mine.onnx"), name="mine", speech="mixed", music="mandarin")
    result = run(clip, "--model", "mine.onnx")
    lines = result.stdout.splitlines()
    assert lines[0] == "Mixed: English and Mandarin speech → Mandarin music"
    assert lines[1] == "Model: mine"


@pytest.mark.parametrize(
    ("silent", "min_margin", "line"),
    [
        (1, 0.0, "1 of 3 seconds is uncertain (silent)"),
        (1, 1.0, "3 of 3 seconds are uncertain, 1 of them silent"),
        (0, 1.0, "3 of 3 seconds are uncertain"),
    ],
)
def test_uncertain_seconds_are_counted_as_in_json(silent, min_margin, line):
    write_model(pathlib.Path("tiny.onnx"), min_margin=min_margin)
    result = run(record("a.wav", silent=silent), "--model", "tiny.onnx", "-o", "out")
    assert line in result.stdout.splitlines()
    document = json.loads(pathlib.Path("out/a.json").read_text())
    assert sum(document["uncertain_seconds"]) == int(line.split()[0])


def test_a_silent_recording_has_no_quadrant():
    write_model(pathlib.Path("tiny.onnx"))
    lines = run(record("a.wav", silent=3), "--model", "tiny.onnx", "-o", "out").stdout.splitlines()
    assert "The recording is silent: there is no emotion to predict" in lines
    assert not any("0." in line for line in lines)
    assert json.loads(pathlib.Path("out/a.json").read_text())["silent"] == [True] * 3


def test_uncertainty_is_mentioned(clip):
    assert "ncertain" not in run(clip).stdout
    write_model(pathlib.Path("doubting.onnx"), min_margin=1.0)
    stdout = run(clip, "--model", "doubting.onnx").stdout
    assert "The quadrant of this recording is uncertain" in stdout


def test_without_output_nothing_is_written_and_a_line_says_how_to(clip):
    before = files()
    hint = run(clip).stdout.splitlines()[-1]
    assert "-o FOLDER" in hint
    assert files() == before
    assert "-o FOLDER" not in run(clip, "-o", "out").stdout
    assert "-o FOLDER" not in run(clip, "--json", "-").output


# What is written, and where


@pytest.mark.parametrize(
    "output", ["new", "new/", "a/b/c", "a/b/c/", ".", "old", "old.1", "old/.."]
)
def test_folders(output):
    os.makedirs("old")
    os.makedirs("old.1")
    record("my.song.wav")
    run("my.song.wav", "-o", output, "--no-plot")
    made = {pathlib.Path(name) for name in files()} - {pathlib.Path("my.song.wav")}
    expected = pathlib.Path(os.path.normpath(output))
    assert made == {expected / "my.song.npy", expected / "my.song.json"}


def test_a_named_file_keeps_its_dots_and_its_case(clip):
    run(clip, "-o", "my.rows.NPY", "--no-plot")
    assert {"my.rows.NPY", "my.rows.json"} <= set(files())


def test_without_a_picture(clip):
    run(clip, "-o", "out", "--no-plot")
    assert files("out") == ["anger_1.json", "anger_1.npy"]


def test_winners(clip):
    run(clip, "-o", "soft", "--no-plot")
    run(clip, "-o", "hard", "--no-plot", "--winner")
    soft, hard = np.load("soft/anger_1.npy"), np.load("hard/anger_1.npy")
    assert hard.dtype == np.float32
    kept = np.eye(4, dtype=bool)[soft.argmax(axis=1)]
    assert np.array_equal(hard, np.where(kept, soft, 0))
    document = json.loads(pathlib.Path("hard/anger_1.json").read_text())
    for head in ("quadrant", "arousal", "valence"):
        assert (np.count_nonzero(document[head]["rows"], axis=1) == 1).all()


def test_older_results_are_replaced(clip):
    os.makedirs("out")
    pathlib.Path("out/anger_1.npy").write_text("old")
    run(clip, "-o", "out", "--no-plot")
    assert len(np.load("out/anger_1.npy")) == SECONDS


def test_several_files(clip):
    other = record("other.wav", seconds=2, seed=1)
    result = run(clip, "-i", other, "-o", "out", "--no-plot")
    assert files("out") == ["anger_1.json", "anger_1.npy", "other.json", "other.npy"]
    assert len(np.load("out/other.npy")) == 2
    assert result.stdout.count("Intra-linguistic") == 1
    assert result.stdout.count("Quadrant 1") == 2
    assert result.stdout.index("anger_1.wav\n") < result.stdout.index("other.wav\n")


def test_several_files_on_a_terminal_have_a_progress_bar(clip):
    other = record("other.wav")
    terminal = {"FORCE_COLOR": "1"}
    result = run(clip, other, env=terminal)
    assert "Predicting" in result.stdout
    assert result.stdout.count("Quadrant 1") == 2
    assert "Predicting" not in run(clip, env=terminal).stdout
    assert "Predicting" not in run(clip, other).stdout


def test_json_alone_on_standard_output(clip):
    other = record("other.wav", seconds=2)
    result = run(clip, other, "--json", "-")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["source"], len(first["times"])) == ("audio/anger_1.wav", SECONDS)
    assert (second["source"], len(second["times"])) == ("other.wav", 2)
    assert result.stderr.startswith("Intra-linguistic")
    assert result.stderr.count("Quadrant 1") == 2


def test_json_into_a_file(clip):
    other = record("other.wav")
    result = run(clip, other, "--json", "new/all.jsonl", "-o", "out", "--no-plot")
    lines = pathlib.Path("new/all.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[0] == pathlib.Path("out/anger_1.json").read_bytes()
    assert lines[1] == pathlib.Path("out/other.json").read_bytes()
    assert result.stdout.startswith("Intra-linguistic")
    assert files("new") == ["all.jsonl"]


@pytest.mark.skipif(not pathlib.Path("/dev/null").exists(), reason="needs devices")
def test_a_device_stays_a_device(clip):
    run(clip, "--json", "/dev/null")
    assert not pathlib.Path("/dev/null").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_a_name_that_is_not_utf8():
    name = os.fsdecode(b"caf\xe9.wav")
    record(name)
    result = run(name, "-o", "out")
    assert "caf\\xe9.wav" in result.stdout
    assert sorted(os.listdir(b"out")) == [b"caf\xe9.json", b"caf\xe9.npy", b"caf\xe9.png"]
    assert json.loads(run(name, "--json", "-").stdout)["source"] == "caf\\xe9.wav"


# What is refused: one line, exit code 2, and nothing written


@pytest.fixture
def refused(clip):
    """As `complaint`, and nothing may change on disk."""

    def check(*args, code=2):
        before = files()
        line = complaint(*args, code=code)
        assert files() == before
        return line

    return check


def test_files_that_are_no_audio(refused):
    pathlib.Path("text.mp3").write_text("words, words, words" * 100)
    pathlib.Path("empty.wav").touch()
    for name in ("missing.wav", "text.mp3", "empty.wav", "line\nfeed.wav"):
        line = refused(name, "-o", "out", "--json", "all.json")
        assert line.startswith(name.replace("\n", "\\n") + ": ")


def test_languages_that_are_not_there(refused, clip):
    assert "unknown language 'klingon'" in refused(clip, "-s", "klingon")
    assert "no model for mixed speech to english music" in refused(clip, "-s", "x")


def test_models_that_cannot_be_used(refused, clip, weights):
    assert refused(clip, "--model", "missing.onnx") == "missing.onnx: No such file or directory"
    assert refused(clip, "--model", clip).startswith(f"{clip}: not an ONNX model")
    write_model(pathlib.Path("mine.onnx"))
    for option in "-s", "-m":
        line = refused(clip, "--model", "mine.onnx", option, "e")
        assert line == "--model cannot be combined with -s or -m"
    (weights / "english-to-english.onnx").write_bytes(b"damaged")
    assert "damaged" in refused(clip)
    (weights / "models.json").unlink()
    registry.models.cache_clear()
    assert "models.json: No such file" in refused(clip)


def test_no_input(refused):
    assert "no audio file" in refused("predict")
    assert "no audio file" in refused("-s", "e")


def test_outputs_that_cannot_be(refused, clip):
    other = record("other.wav")
    assert "several recordings" in refused(clip, other, "-o", "out/a.npy")
    for name in ("a.txt", "a.mp3", "new.folder"):
        assert "end the name of a new folder in /" in refused(clip, "-o", name)


def test_inputs_that_would_write_the_same_file(refused, clip):
    others = record("a/song.wav"), record("b/song.flac.wav"), record("b/song.mp3")
    line = refused(*others, "-o", "out")
    assert line == "b/song.mp3 and a/song.wav would both write out/song.npy"
    assert "would both write" in refused(clip, clip, "-o", "out")
    assert "would both write" in refused(clip, "-o", "out", "--json", "out/anger_1.json")
    os.symlink(".", "same")
    assert "would both write" in refused(clip, "-o", "out", "--json", "same/out/anger_1.json")


def test_inputs_are_never_overwritten(refused, clip):
    content = clip.read_bytes()
    clip.rename("a.npy")
    os.symlink("a.npy", "link.npy")
    record("b.json")
    write_model(pathlib.Path("mine.onnx"))
    for args in (
        ["a.npy", "-o", "a.npy"],
        ["a.npy", "-o", "."],
        ["a.npy", "-o", "link.npy"],
        ["link.npy", "-o", "a.npy"],
        ["b.json", "-o", "."],
        ["a.npy", "--json", "a.npy"],
        ["a.npy", "--json", "mine.onnx", "--model", "mine.onnx"],
    ):
        assert refused(*args).endswith(": is an input and would be overwritten; choose another -o")
    assert pathlib.Path("a.npy").read_bytes() == content


def test_places_that_take_no_files(refused, clip, monkeypatch):
    # Permissions would not stop the superuser.
    monkeypatch.setattr(Predictor, "stream", lambda *_: pytest.fail("too late"))
    os.makedirs("out/anger_1.json")
    pathlib.Path("file").touch()
    assert refused(clip, "-o", "file/out") == "file: is not a folder"
    assert refused(clip, "-o", "file/") == "file: is not a folder"
    assert refused(clip, "-o", "file") == "file: is not a folder"
    assert refused(clip, "-o", "file/rows.npy") == "file: is not a folder"
    assert refused(clip, "--json", "file/all.json") == "file: is not a folder"
    assert refused(clip, "-o", "out").endswith("anger_1.json: is a folder")
    assert refused(clip, "-o", f"{'n' * 256}/").endswith(": File name too long")
    if sys.platform == "linux":
        assert refused(clip, "-o", "/proc/out/").startswith("/proc")


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(refused, clip):
    assert complaint(clip, "--json", "/dev/full") == f"/dev/full: {FULL}"


def test_a_disk_that_fills_leaves_the_older_results(clip):
    os.makedirs("out")
    pathlib.Path("out/anger_1.npy").write_text("old")  # the picture does not fit, the rows would
    with large_files_refused():
        assert complaint(clip, "-o", "out") == f"{clip}: out/anger_1.png: File too large"
    assert files("out") == ["anger_1.npy"]
    assert pathlib.Path("out/anger_1.npy").read_text() == "old"


def test_results_that_do_not_fit_do_not_stop_the_rest(clip):
    longer = record("longer.wav", seconds=60)
    with large_files_refused():
        result = run(longer, clip, "-o", "out", "--no-plot", code=1)
    assert said(result.stderr) == "longer.wav: out/longer.json: File too large"
    assert files("out") == ["anger_1.json", "anger_1.npy"]


def test_one_broken_file_does_not_stop_the_rest(clip):
    other = record("other.wav")
    args = [clip, "missing.wav", other, "-o", "out", "--no-plot", "--json", "all.json"]
    result = run(*args, code=1)
    assert said(result.stderr) == "missing.wav: no such file"
    assert result.stdout.count("Quadrant 1") == 2
    assert len(files("out")) == 4
    assert len(pathlib.Path("all.json").read_bytes().splitlines()) == 2


def test_wrong_usage(clip):
    for args in (["--nonsense", clip], [clip, "-o"], ["train", "nonsense"]):
        assert run(*args, code=2).stderr


def test_a_damaged_file_is_predicted_as_far_as_it_goes(clip):
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 2])
    result = run(clip)
    assert said(result.stderr).startswith(f"warning: {clip}: decoded 1.5 of 3.0 seconds")
    damage = json.loads(run(clip, "--json", "-").stdout)["damage"]
    assert said(result.stderr) == f"warning: {clip}: {damage}"


def test_faults_of_ours_are_not_hidden(clip, monkeypatch):
    def fault(*_, **__):
        raise ValueError("a fault of ours")

    monkeypatch.setattr(Predictor, "stream", fault)
    with pytest.raises(ValueError, match="a fault of ours"):
        run(clip)


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "where", ["quadpred.predictor.Predictor.stream", "quadpred.plots.taggram.taggram"]
)
def test_interrupted(clip, monkeypatch, where):
    monkeypatch.setattr(where, interrupt)
    before = files()
    assert complaint(clip, "-o", "out", code=130) == "interrupted"
    unwritten, last = run(clip, "-o", "out", "--json", "all.json", code=130).stderr.splitlines()
    assert unwritten.startswith("quadpred: all.json: not written; a library run")
    assert last == "quadpred: interrupted"
    assert files() == before


# Other commands


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_the_commands(option):
    stdout = run(option).stdout
    assert all(name in stdout for name in ("predict", "models", "train", "--version"))


def test_help_of_predict():
    for args in (["predict", "--help"], ["-s", "e", "--help"]):
        stdout = run(*args).stdout
        assert all(name in stdout for name in ("--speech", "--music", "--output", "--winner"))


def test_version():
    assert run("--version").stdout == f"quadpred {quadpred.__version__}\n"


def test_models(weights):
    (weights / "english-to-mandarin.onnx").write_bytes(bytes(1_250_000))
    first, second = run("models").stdout.splitlines()
    assert first.startswith("english-to-english ")
    assert "English speech → English music" in first
    assert first.endswith(str(weights / "english-to-english.md"))
    assert " 1.2 MB  English speech → Mandarin music  " in second
    (weights / "english-to-mandarin.onnx").unlink()
    assert complaint("models").endswith("english-to-mandarin.onnx: No such file or directory")


def test_train_is_there():
    assert "pretrain" in run("train", "--help").stdout
    line = complaint("train", "manifest", "no-such-folder", "-o", "a.csv")
    assert line.startswith("no-such-folder: ")


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("torch", ("pretrain", "a.csv", "-o", "run")),
        ("jinja2", ("export", "run", "-o", "a.onnx", "-s", "e", "-m", "e")),
        ("pydantic", ("evaluate", "run", "--manifest", "a.csv")),
        ("safetensors", ("transfer", "a.csv", "-o", "run")),
    ],
)
def test_training_without_its_extra(package, command):
    result = cold("train", *command, before=f"sys.modules[{package!r}] = None")
    assert result.returncode == 2
    assert said(result.stderr) == 'training needs the extra: pip install "quadpred[train]"'


# In a process of its own


@pytest.mark.slow
def test_cold(clip, weights):
    result = cold("-s", "e", "-m", "e", "-i", clip, "-o", "out/", weights=weights)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Intra-linguistic: English speech → English music\n" in result.stdout
    assert files("out") == ["anger_1.json", "anger_1.npy", "anger_1.png"]
    warm = run("-s", "e", "-m", "e", "-i", clip, "-o", "out/").stdout
    assert result.stdout == warm


@pytest.mark.parametrize("args", [["--help"], ["predict", "--help"], ["train", "--help"]])
def test_help_starts_lean(args):
    result = cold(*args, after="print(*sys.modules, file=sys.stderr)")
    assert result.returncode == 0
    loaded = {name.partition(".")[0] for name in result.stderr.split()}
    assert "typer" in loaded
    assert not loaded & {"numpy", "av", "onnxruntime", "matplotlib", "torch"}


@pytest.mark.slow
def test_predicting_without_a_picture_is_lean(clip, weights):
    args = [clip, "-o", "out", "--no-plot"]
    result = cold(*args, weights=weights, after="print(*sys.modules, file=sys.stderr)")
    assert result.returncode == 0
    loaded = {name.partition(".")[0] for name in result.stderr.split()}
    assert "onnxruntime" in loaded
    assert not loaded & {"matplotlib", "torch", "onnx", "scipy", "librosa"}


def test_the_reader_may_go_early(clip, weights):
    reading, writing = os.pipe()
    os.close(reading)
    result = cold(clip, "-o", "out", "--no-plot", weights=weights, stdout=writing)
    os.close(writing)
    assert result.stderr == ""
    assert result.returncode == 1


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("args", [["audio/anger_1.wav"], ["--version"], ["--help"]])
def test_standard_output_that_is_full(clip, weights, args):
    with open("/dev/full", "w") as full:
        result = cold(*args, weights=weights, stdout=full)
    assert result.returncode == 2
    assert said(result.stderr) == FULL


def test_an_encoding_without_arrows(clip, weights):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = cold(clip, weights=weights, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "English speech \\u2192 English music" in result.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(
    ("sent", "code", "stderr"),
    [
        (signal.SIGINT, 130, "quadpred: interrupted\n"),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_signals_leave_nothing_half_written(clip, weights, sent, code, stderr):
    before = (
        "import os, signal, quadpred.formats.documents as f;"
        # A process that was started in the background ignores it.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"f.dump = lambda _: os.kill(os.getpid(), {int(sent)})"
    )
    listed = files()
    result = cold(clip, "-o", "out", "--no-plot", weights=weights, before=before)
    assert (result.returncode, result.stderr) == (code, stderr)
    assert files() == listed


# The models on board


@pytest.mark.skipif(not (SHIPPED / "models.json").exists(), reason="the weights are not there")
class TestShipped:
    @pytest.fixture(autouse=True)
    def shipped(self, weights, monkeypatch):
        monkeypatch.setattr(registry, "WEIGHTS", SHIPPED)
        registry.models.cache_clear()

    @pytest.mark.slow
    def test_cold(self, clip):
        command = [sys.executable, "-m", "quadpred", "-s", "e", "-m", "e", "-i", str(clip)]
        result = subprocess.run(
            [*command, "-o", "out/"], capture_output=True, encoding="utf-8", timeout=60
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith("Intra-linguistic: English speech → English music\n")
        assert files("out") == ["anger_1.json", "anger_1.npy", "anger_1.png"]

    def test_every_model_predicts(self, clip):
        for model in registry.models():
            run(clip, "-s", model.speech, "-m", model.music, "-o", f"{model.name}/", "--no-plot")
            said = json.loads(pathlib.Path(model.name, "anger_1.json").read_bytes())
            assert said["model"]["name"] == model.name
            assert said["model"]["sha256"] == model.sha256
            for head in HEADS:
                rows = np.array(said[head.name]["rows"])
                assert rows.shape == (SECONDS, len(head.classes))
                assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)

    def test_they_are_listed(self):
        assert len(run("models").stdout.splitlines()) == len(registry.models())
