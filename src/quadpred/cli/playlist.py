"""`quadpred playlist`: songs of one mood, for a scene, or on a path from one mood to another."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from quadpred.cli.console import (
    OutputFile,
    UsageError,
    check_output,
    check_overwriting,
    counted,
    print_line,
    print_message,
    refuse_options,
)
from quadpred.cli.library import Words, load_vocabulary

if TYPE_CHECKING:
    from quadpred.library.moods import Vocabulary
    from quadpred.library.summary import SummaryRow

__all__ = ["playlist"]

_MINUTES = 60.0  # default length, except of a mood


@dataclass(frozen=True)
class _Options:
    """What a playlist is made of; it is saved in the file, for --refresh."""

    summary: str
    mood: str | None = None
    start: str | None = None
    end: str | None = None
    scene: str | None = None
    minutes: float | None = None
    per_artist: int | None = None
    words: str | None = None
    uncertain: bool = False

    @property
    def one_choice(self) -> bool:
        """Whether there is either a mood, or a scene, or both ends of a path."""
        ends = (self.start is not None, self.end is not None)
        given = (self.mood is not None) + (self.scene is not None) + any(ends)
        return given == 1 and any(ends) == all(ends)


def playlist(
    context: typer.Context,
    summary: Annotated[
        Path | None,
        typer.Argument(
            metavar="SUMMARY",
            help="summary.parquet or summary.csv of a predicted library.",
            show_default=False,
        ),
    ] = None,
    mood: Annotated[
        str | None,
        typer.Option(
            "--mood",
            metavar="WORD",
            help="Songs of this mood, such as calm or gloomy; most confident first.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WORD",
            help="Start in this quadrant: happy, tense, sad or calm; needs --to.",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="WORD",
            help="End in this quadrant: happy, tense, sad or calm; needs --from.",
        ),
    ] = None,
    scene: Annotated[
        Literal["sleep", "focus", "workout", "party", "wind-down"] | None,
        typer.Option(
            metavar="NAME", help="Songs for a scene: sleep, focus, workout, party or wind-down."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--max-minutes",
            min=0,
            metavar="MINUTES",
            help=f"Maximum length. Default: no limit with --mood, otherwise {_MINUTES:g}.",
        ),
    ] = None,
    per_artist: Annotated[
        int | None,
        typer.Option("--max-per-artist", min=1, metavar="N", help="Maximum songs per artist."),
    ] = None,
    form: Annotated[
        Literal["m3u8", "nsp", "json"] | None,
        typer.Option(
            "--format",
            help="nsp is a smart playlist of Navidrome. Default: by the extension of -o, or m3u8.",
        ),
    ] = None,
    output: OutputFile = None,
    refresh: Annotated[
        list[Path] | None,
        typer.Option(
            "--refresh",
            metavar="FILE",
            help="Make this m3u8 or json playlist again from its summary; repeatable.",
        ),
    ] = None,
    words: Words = None,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="Include songs whose quadrant is uncertain.")
    ] = False,
) -> None:
    """Make a playlist of one mood, for a scene, or in small steps from one mood to another."""
    if refresh:
        saved = [each.name for each in fields(_Options)]
        refuse_options(context, "--refresh", [*saved, "form", "output"])
        for path in refresh:
            _refresh(path)
        return
    options = _Options(
        summary=str(summary.absolute()) if summary else "",
        mood=mood,
        start=start,
        end=end,
        scene=scene,
        minutes=minutes,
        per_artist=per_artist,
        words=str(words.absolute()) if words else None,
        uncertain=uncertain,
    )
    if not options.one_choice:
        raise UsageError("give either --mood, or --scene, or both --from and --to")
    if summary is None:
        raise UsageError("give the summary.csv or summary.parquet of a predicted library")
    _make(options, form or _form(output), output)


def _form(output: Path | None) -> str:
    """Return the format that the extension of a file names, m3u8 by default."""
    suffix = output.suffix.lower() if output else ""
    return suffix[1:] if suffix in (".json", ".nsp") else "m3u8"


def _refresh(path: Path) -> None:
    from quadpred.library.playlist_files import PlaylistError, read_options

    saved = read_options(path)
    try:
        if isinstance(saved.get("minutes"), int):  # edited by hand
            saved["minutes"] = float(saved["minutes"])
        options = _Options(**saved)
    except (TypeError, OverflowError):
        raise PlaylistError(f"{path}: made by another version; make a new playlist") from None
    if fault := _fault(options):
        raise PlaylistError(f"{path}: {fault}; make a new playlist")
    _make(options, _form(path), path)


def _fault(options: _Options) -> str | None:
    """Return why the command line could not have given these options, if so."""
    from quadpred.library.scenes import SCENES

    for name, kind in get_type_hints(_Options).items():
        value = getattr(options, name)
        if not isinstance(value, kind) or "\0" in str(value):
            return f"its {name} is not valid"
    if options.scene is not None and options.scene not in SCENES:
        return f"{options.scene} is no scene"
    if options.minutes is not None and not options.minutes >= 0:  # true of NaN, too
        return "its minutes is not valid"
    if options.per_artist is not None and options.per_artist < 1:
        return "its per_artist is not valid"
    return None if options.one_choice else "it needs either a mood, or a scene, or start and end"


def _make(options: _Options, form: str, output: Path | None) -> None:
    from quadpred.files import add_filename_to_errors, atomic_write
    from quadpred.library.playlist_files import to_json, to_m3u8

    words = Path(options.words) if options.words else None
    if output is None:
        check_output()
    else:
        check_overwriting(output, Path(options.summary), words)
    vocabulary = load_vocabulary(words)
    if form == "nsp":
        text, count = _smart_playlist(options, vocabulary, output), "smart playlist"
    else:
        songs = _choose(options, vocabulary)
        used = {name: value for name, value in asdict(options).items() if value}
        if form == "json":
            text = to_json(songs, used)
        else:
            folder = output.parent if output else None
            songs = _only_fitting(songs, folder)
            text = to_m3u8(songs, folder, used)
        minutes = sum(song.duration for song in songs) / 60
        count = f"{counted(len(songs), 'song')}, {counted(minutes, 'minute')}"
    if output is None and sys.stdout.isatty():
        for line in text.splitlines():  # escape codes in names must not reach a terminal
            print_line(line)
    elif output is None:
        sys.stdout.buffer.write(text.encode())
    else:
        with atomic_write(output) as (file,), add_filename_to_errors(output):
            file.write(text.encode())
        print_line(f"{output}: {count}")


def _only_fitting(songs: "list[SummaryRow]", folder: Path | None) -> "list[SummaryRow]":
    """Leave out songs whose names an m3u8 cannot hold, and print a line for each."""
    from quadpred.library.playlist_files import PlaylistError, fits_m3u8

    fitting = []
    for song in songs:
        if fits_m3u8(song, folder):
            fitting.append(song)
        else:
            reason = "an m3u8 cannot hold this name; rename the file, or use --format json"
            print_message(f"{song.file}: left out: {reason}")
    if not fitting:
        raise PlaylistError("no song is left for the playlist")
    return fitting


def _choose(options: _Options, vocabulary: "Vocabulary") -> "list[SummaryRow]":
    from quadpred.library.playlist import mood_playlist, path_playlist
    from quadpred.library.scenes import scene_playlist
    from quadpred.library.summary import read_summary

    rows = read_summary(Path(options.summary))
    minutes = options.minutes
    if minutes is None:
        minutes = float("inf") if options.mood else _MINUTES
    choose: Callable[..., list[SummaryRow]]
    if options.mood is not None:
        choose = partial(mood_playlist, mood=options.mood, vocabulary=vocabulary)
    elif options.scene is not None:
        choose = partial(scene_playlist, name=options.scene)
    else:
        start, end = (vocabulary.quadrant(str(word)) for word in (options.start, options.end))
        choose = partial(path_playlist, start=start, end=end)
    limits: dict[str, Any] = {"seconds": minutes * 60, "uncertain": options.uncertain}
    if options.per_artist is None:
        return choose(rows, **limits)
    from quadpred.library.artists import limit_per_artist

    return limit_per_artist(partial(choose, **limits), rows, options.per_artist)


def _smart_playlist(options: _Options, vocabulary: "Vocabulary", output: Path | None) -> str:
    from quadpred.library.playlist_files import to_nsp
    from quadpred.library.scenes import SCENES, Region

    if options.minutes is not None or options.per_artist is not None:
        raise UsageError("--format nsp cannot have --max-minutes or --max-per-artist")
    choice = options.mood if options.mood is not None else SCENES.get(options.scene or "")
    if isinstance(choice, str):
        vocabulary.has_word(choice, "Q1", arousal=1, valence=1)  # raises if there is no such word
        choice = choice.lower()
    elif not isinstance(choice, Region):
        raise UsageError("--format nsp cannot hold a path; use m3u8 or json")
    return to_nsp(output.stem if output else str(options.mood or options.scene), choice)
