"""`quadpred tag`, `playlist` and `map`: where the moods of a library go."""

import hashlib
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quadpred.cli.console import FAILED, PARTLY, console, print_line, print_message
from quadpred.files import printable

if TYPE_CHECKING:
    from quadpred.library.moods import Vocabulary
    from quadpred.library.summary import Clip
    from quadpred.library.tag_fields import Layout
    from quadpred.predictor import Predictor

_MINUTES = 60.0  # of a way from mood to mood, if nothing else is asked for
_WIDTH = 160  # of a table that goes to a file or a pipe

# What became of a file.
_TAGGED, _SAME = "tagged", "tagged before"
_UNCERTAIN = "left out: uncertain"
_EXISTING = "left out: has a mood already"
_REPLACED = "left out: other audio than was predicted"
_REMOVED, _NONE = "tags removed", "no tags of quadpred"
_FAILURE = "failed"

_Summary = Annotated[
    Path,
    typer.Argument(
        metavar="SUMMARY",
        help="summary.parquet or summary.csv of a folder that was predicted.",
        show_default=False,
    ),
]
_Words = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help='Words for quadrants and places on the plane, such as Q2 = "angry".',
    ),
]


def tag(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH", help="Music files, folders and playlists.", show_default=False
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="SUMMARY",
            help="Take files and moods from a summary.parquet or .csv, and predict nothing.",
        ),
    ] = None,
    words: _Words = None,
    numbers: Annotated[
        Literal["quadpred", "energy-valence", "both"],
        typer.Option(help="QUADPRED_AROUSAL and QUADPRED_VALENCE, or ENERGY and VALENCE, or both."),
    ] = "quadpred",
    scale: Annotated[
        Literal["1", "10"],
        typer.Option(help="ENERGY and VALENCE from 0 to 1, or from 1 to 10."),
    ] = "1",
    comment: Annotated[
        bool, typer.Option("--comment", help="Write a comment too, for DJ programs.")
    ] = False,
    percentile: Annotated[
        bool,
        typer.Option(
            "--percentiles",
            help="Write percentiles within the library too; needs a folder or --from.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and change no file.")
    ] = False,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Tag files whose mood is uncertain, too.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace moods of other programs; --undo restores them."),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Remove what this command wrote, and nothing else.")
    ] = False,
    touch: Annotated[
        bool,
        typer.Option("--touch", help="Set the time of changed files to now, for servers."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Keep predictions of folders here; in the user's folder of quadpred if not given.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Worker processes; as many as cores if not given."),
    ] = None,
    speech: Annotated[
        str, typer.Option("-s", "--speech", metavar="e|m|x", help="As of `predict`.")
    ] = "english",
    music: Annotated[
        str, typer.Option("-m", "--music", metavar="e|m", help="As of `predict`.")
    ] = "english",
    model: Annotated[
        str | None, typer.Option("--model", metavar="FILE.onnx", help="As of `predict`.")
    ] = None,
) -> None:
    """Write moods, arousal and valence into music files, in each format's own tags."""
    from quadpred.batch.discovery import is_collection
    from quadpred.library.summary import LibraryError
    from quadpred.library.tag_fields import Layout

    if bool(paths) == bool(summary):
        raise LibraryError("tag: give files or folders, or a summary with --from")
    whole = bool(summary) or any(map(is_collection, paths or ()))
    if percentile and not whole:
        raise LibraryError("--percentiles: needs a folder or --from SUMMARY")
    layout = Layout(numbers, 10 if scale == "10" else 1, comment)
    vocabulary = _vocabulary(words)
    if undo:
        names = _names(summary, paths or ())
        remove = partial(_remove, dry_run=dry_run, touch=touch)
        _report(((name, partial(remove, name)) for name in names), dry_run=dry_run)
        return
    predictor = None if summary else _predictor(speech, music, model)
    failed: dict[str, str] = {}
    if whole:
        clips = _library_clips(summary, paths or (), predictor, output, jobs, failed)
        find = {clip.file: partial(_same_audio, clip) for clip in clips}
    else:
        assert predictor
        find = {name: partial(_predicted, predictor, name) for name in paths or ()}
    ranks = _ranks(clips) if percentile else {}
    write = partial(
        _write,
        vocabulary=vocabulary,
        layout=layout,
        uncertain=uncertain,
        replace=replace,
        dry_run=dry_run,
        touch=touch,
    )
    tasks = [(name, partial(write, name, get, ranks.get(name))) for name, get in find.items()]
    _report(tasks, failed=failed, dry_run=dry_run)


@dataclass(frozen=True)
class _Outcome:
    """What became of a file; `mood` is words, arousal, valence and confidence, if predicted."""

    what: str
    mood: Sequence[str] = ()


def _report(
    tasks: Iterable[tuple[str, Callable[[], _Outcome]]],
    *,
    failed: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> None:
    """Run tasks, one per file, and print what becomes of each, and of all."""
    from quadpred.errors import QuadpredError

    counts: Counter[str] = Counter()
    for name, reason in (failed or {}).items():
        print_message(f"{name}: {reason}")
        counts[_FAILURE] += 1
    rows = []
    for name, task in tasks:
        try:
            outcome = task()
        except (QuadpredError, OSError) as error:
            print_message(
                f"{name}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
            )
            outcome = _Outcome(_FAILURE)
        counts[outcome.what] += 1
        if dry_run:
            rows.append([name, *(outcome.mood or [""] * 4), outcome.what])
        elif outcome.what != _FAILURE:
            print_line(f"{name}: {', '.join([*outcome.mood[:1], outcome.what])}")
    if dry_run:
        _show(["file", "mood", "arousal", "valence", "confidence", "what would be done"], rows)
    total = ", ".join(f"{count} {what}" for what, count in counts.items())
    print_line(f"No file was changed; it would be: {total}" if dry_run else total)
    if counts[_FAILURE]:
        raise typer.Exit(PARTLY if counts[_FAILURE] < counts.total() else FAILED)


def _names(summary: Path | None, paths: Sequence[str]) -> Iterable[str]:
    """Return the files of a summary, or those that paths name."""
    from quadpred.batch.discovery import Shard, discover, is_collection
    from quadpred.library.summary import read_library

    if summary:
        return dict.fromkeys(clip.file for clip in read_library(summary))
    if not any(map(is_collection, paths)):
        return dict.fromkeys(paths)
    found = discover(paths, _listed(paths), Shard.parse("1/1"))
    return [*(recording.path for recording in found.recordings), *found.errors]


def _listed(paths: Sequence[str]) -> bytes:
    from quadpred.batch.discovery import LIST

    return sys.stdin.buffer.read() if LIST in paths else b""


def _remove(name: str, *, dry_run: bool, touch: bool) -> _Outcome:
    from quadpred.library.tags import remove_tags

    removed = remove_tags(Path(name), dry_run=dry_run, touch=touch)
    return _Outcome(_REMOVED if removed else _NONE)


def _library_clips(
    summary: Path | None,
    paths: Sequence[str],
    predictor: "Predictor | None",
    output: Path | None,
    jobs: int | None,
    failed: dict[str, str],
) -> "Sequence[Clip]":
    """Read a summary, or predict folders first; only new and changed recordings are predicted."""
    from quadpred.library.summary import LibraryError, read_library

    if summary:
        return read_library(summary)
    assert predictor
    from quadpred.batch import discovery, run
    from quadpred.batch.clip import Settings
    from quadpred.cli.progress import bar

    if output is None:
        whole = "\0".join(map(os.path.abspath, paths)).encode(errors="surrogateescape")
        folder = hashlib.sha256(whole).hexdigest()[:16]
        output = Path(typer.get_app_dir("quadpred")) / "libraries" / folder
    share = discovery.Shard.parse("1/1")
    settings = Settings(
        model=str(predictor.path.absolute()),
        sha256=predictor.origin.sha256,
        device="cpu",
        output=output.absolute(),
        scratch=run.scratch(output.absolute(), share),
    )
    found = discovery.discover(paths, _listed(paths), share)
    if not found.recordings:
        reason = next(iter(found.errors.values()), "no audio files are there")
        raise LibraryError(f"{paths[0]}: {reason}")
    with bar(console()) as tell:
        engine = run.engine(settings, jobs, on_ray=False)
        report = run.run(found, settings, share, engine, tell=tell, say=lambda _: None)
    failed.update(report.errors)
    return read_library(output / "summary.csv")


def _same_audio(clip: "Clip") -> "Clip | None":
    """Return a clip of a summary, or `None` if its file has other audio by now."""
    from quadpred.library.fingerprint import audio_sha256

    return clip if audio_sha256(clip.file) == clip.sha256 else None


def _ranks(clips: "Sequence[Clip]") -> dict[str, tuple[int, int]]:
    """Return percentiles of arousal and valence by file."""
    from quadpred.library.tag_fields import percentiles

    arousal = percentiles([clip.arousal for clip in clips])
    valence = percentiles([clip.valence for clip in clips])
    return {
        clip.file: ranks
        for clip, ranks in zip(clips, zip(arousal, valence, strict=True), strict=True)
    }


def _write(
    name: str,
    find: "Callable[[], Clip | None]",
    ranks: tuple[int, int] | None,
    *,
    vocabulary: "Vocabulary",
    layout: "Layout",
    uncertain: bool,
    replace: bool,
    dry_run: bool,
    touch: bool,
) -> _Outcome:
    """Tag a file."""
    from quadpred.library.tag_fields import tag_fields
    from quadpred.library.tags import ExistingTagError, write_tags

    clip = find()
    if clip is None:
        return _Outcome(_REPLACED)
    words = vocabulary.words_of(clip.quadrant, arousal=clip.arousal, valence=clip.valence)
    numbers = (f"{value:.2f}" for value in (clip.arousal, clip.valence, clip.confidence))
    mood = ["; ".join(words), *numbers]
    if clip.uncertain and not uncertain:
        return _Outcome(_UNCERTAIN, mood)
    fields = tag_fields(words, clip.arousal, clip.valence, layout, ranks)
    try:
        written = write_tags(Path(name), fields, replace=replace, dry_run=dry_run, touch=touch)
    except ExistingTagError:
        return _Outcome(_EXISTING, mood)
    return _Outcome(_TAGGED if written else _SAME, mood)


def playlist(
    summary: _Summary,
    mood: Annotated[
        str | None,
        typer.Option(
            "--mood", metavar="WORD", help="Songs of this mood, those the model is surest of first."
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="WORD", help="A way that begins at this mood,")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="WORD", help="and ends at this one.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes",
            min=0,
            help=f"How long at most; if not given, {_MINUTES:g} for a way, any for a mood.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.m3u8", help="Standard output if not given."),
    ] = None,
    words: _Words = None,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Take songs whose mood is uncertain, too.")
    ] = False,
) -> None:
    """Make a playlist of one mood, or of small steps from one mood to another."""
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.library.playlist import mood_playlist, path_playlist, to_m3u8
    from quadpred.library.summary import LibraryError, read_library

    if (mood is None) == (start is None) or (start is None) != (end is None):
        raise LibraryError("playlist: say either --mood, or both --from and --to")
    vocabulary = _vocabulary(words)
    clips = read_library(summary)
    if mood is not None:
        quadrant = vocabulary.quadrant(mood)
        seconds = None if minutes is None else minutes * 60
        chosen = mood_playlist(clips, quadrant, seconds=seconds, uncertain=uncertain)
    else:
        ends = [vocabulary.quadrant(word) for word in (start, end) if word is not None]
        seconds = (_MINUTES if minutes is None else minutes) * 60
        chosen = path_playlist(clips, ends[0], ends[1], seconds=seconds, uncertain=uncertain)
    content = to_m3u8(chosen, output.parent if output else None, warn=print_message).encode()
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        with atomic_write(output) as (file,), add_filename_to_errors(output):
            file.write(content)
        total = sum(clip.duration for clip in chosen) / 60
        print_line(f"{output}: {len(chosen)} songs, {total:.0f} minutes")


def draw_map(
    summary: _Summary,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.png|FILE.html", help="The picture.")
    ],
    words: _Words = None,
) -> None:
    """Draw a library in the plane of arousal and valence: a picture, or a page that plays it."""
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.library.summary import LibraryError, read_library

    suffix = output.suffix.lower()
    if suffix not in (".png", ".html"):
        raise LibraryError(f"{output}: a map is a .png or a .html")
    vocabulary = _vocabulary(words)
    clips = read_library(summary)
    if not clips:
        raise LibraryError(f"{summary}: there is no clip in it")
    with atomic_write(output) as (file,), add_filename_to_errors(output):
        if suffix == ".html":
            from quadpred.library.map_page import map_page

            file.write(map_page(clips, vocabulary).encode())
        else:
            from quadpred.plots.library_map import save_map

            save_map(clips, file, vocabulary)
    print_line(f"{output}: {len(clips)} clips")


def _vocabulary(words: Path | None) -> "Vocabulary":
    from quadpred.library.moods import Vocabulary, read_vocabulary

    return read_vocabulary(words) if words else Vocabulary()


def _predictor(speech: str, music: str, model: str | None) -> "Predictor":
    from quadpred.library.summary import LibraryError
    from quadpred.predictor import Predictor

    try:
        return Predictor(model) if model else Predictor.of_languages(speech, music)
    except ValueError as error:  # unknown languages, and ModelError
        raise LibraryError(str(error)) from None


def _predicted(predictor: "Predictor", name: str) -> "Clip":
    """Predict a file; say in one line each what it warns of."""
    from quadpred.audio import AudioWarning
    from quadpred.library.summary import clip_of

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AudioWarning)
        clip = clip_of(predictor.predict(name))
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print_message(f"warning: {text}")
    return clip


def _show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*map(printable, row))
    console(width=_WIDTH).print(table)
