"""Render the example pieces of ``scores.py`` to Ogg Vorbis files beside this script.

Needs the Python packages ``mido`` and ``soundfile``, the program ``fluidsynth`` and the soundfont
FluidR3 GM, which Debian and Ubuntu offer as ``fluidsynth`` and ``fluid-soundfont-gm``::

    pip install mido soundfile
    apt-get install fluidsynth fluid-soundfont-gm
    python examples/render.py                    # all pieces
    python examples/render.py q4_gymnopedie      # one of them
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import mido
import numpy as np
import soundfile
from numpy.typing import NDArray
from scores import PIECES, Piece, Voice

HERE = Path(__file__).resolve().parent
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),  # Debian, Ubuntu
    Path("/usr/share/soundfonts/FluidR3_GM.sf2"),  # Fedora, Arch
)
SAMPLE_RATE = 44_100
TICKS_PER_BEAT = 480
TAIL_BEATS = 6  # room for the last notes and the reverb to die away before the trimming
CEILING = 0.9  # soft limit of the amplitude; only the loudest drum strokes reach it
SILENCE = 0.01  # of the peak, -40 dB: what lies below at either end is trimmed
FADE_IN = 0.005  # seconds; avoids a click where the start was trimmed
COMPRESSION = 0.9  # of soundfile's 0 to 1
DRUM_CHANNEL = 9  # General MIDI's

# General MIDI programs, counted from zero; 48 on the drum channel is the orchestra kit.
PROGRAMS = {
    "piano": 0,
    "harpsichord": 6,
    "celesta": 8,
    "violin": 40,
    "viola": 41,
    "cello": 42,
    "contrabass": 43,
    "tremolo": 44,
    "pizzicato": 45,
    "harp": 46,
    "timpani": 47,
    "strings": 48,
    "drums": 48,
    "slow strings": 49,
    "trumpet": 56,
    "trombone": 57,
    "horn": 60,
    "brass": 61,
    "oboe": 68,
    "bassoon": 70,
    "clarinet": 71,
    "piccolo": 72,
    "flute": 73,
}
NOTE_VALUES = {
    "w": Fraction(4),
    "h": Fraction(2),
    "q": Fraction(1),
    "e": Fraction(1, 2),
    "s": Fraction(1, 4),
    "t": Fraction(1, 6),
}
VELOCITIES = {"pp": 40, "p": 52, "mp": 64, "mf": 78, "f": 94, "ff": 108}
ACCENT = 16
DOWNBEAT = 5
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
NOTE = re.compile(
    r"(?P<pitches>R|[A-G][#b]?\d(\+[A-G][#b]?\d)*)(?P<accent>!?)(\*(?P<times>\d+))?(?P<tie>~?)"
)


@dataclass
class Note:
    """A sounding note; times in beats from the first bar line, negative in an upbeat."""

    start: Fraction
    length: Fraction
    pitch: int
    stress: int
    velocity: int = 0


def midi_pitch(name: str) -> int:
    accidental = {"#": 1, "b": -1}.get(name[1], 0)
    return 12 * (int(name[-1]) + 1) + SEMITONES[name[0]] + accidental


def parse(voice: Voice, piece: Piece) -> tuple[list[Note], Fraction]:
    """Return a voice's notes and the beat on which it ends."""
    now = Fraction(-piece.pickup)
    value = NOTE_VALUES["q"]
    notes: list[Note] = []
    held: list[Note] = []  # what a tie carries over
    loudness: list[tuple[Fraction, int]] = [(now, VELOCITIES["mf"])]  # joined by straight lines
    gliding = False

    for token in voice.notes.replace("|", " | ").split():
        if token == "|":
            if now % piece.beats_per_bar:
                raise ValueError(f"{voice.instrument}: misplaced bar line at beat {float(now)}")
        elif token.rstrip(".") in NOTE_VALUES:
            value = NOTE_VALUES[token.rstrip(".")] * (Fraction(3, 2) if "." in token else 1)
        elif token == "<":
            loudness.append((now, loudness[-1][1]))
            gliding = True
        elif token in VELOCITIES:
            if not gliding:
                loudness.append((now, loudness[-1][1]))
            loudness.append((now, VELOCITIES[token]))
            gliding = False
        elif match := NOTE.fullmatch(token):
            names = match["pitches"].split("+") if match["pitches"] != "R" else []
            for _ in range(int(match["times"] or 1)):
                if held:
                    for note in held:
                        note.length += value
                else:
                    stress = ACCENT * bool(match["accent"])
                    stress += DOWNBEAT * (now % piece.beats_per_bar == 0)
                    notes += [
                        Note(now, value, midi_pitch(name) + voice.transpose, stress)
                        for name in names
                    ]
                now += value
                held = notes[-len(names) :] if names and match["tie"] else []
        else:
            raise ValueError(f"{voice.instrument}: cannot read {token!r}")

    times, levels = zip(*loudness, strict=True)
    for note in notes:
        level = np.interp(float(note.start), [float(time) for time in times], levels)
        note.velocity = min(127, round(level) + note.stress)
    return notes, now


def to_midi(piece: Piece) -> mido.MidiFile:
    parsed = [parse(voice, piece) for voice in piece.voices]
    end = max(stop for _, stop in parsed)

    def ticks(beat: Fraction) -> int:
        return round((beat + Fraction(piece.pickup)) * TICKS_PER_BEAT)

    def track(events: list[tuple[int, mido.Message | mido.MetaMessage]]) -> mido.MidiTrack:
        """Turn absolute times into MIDI's delta times; events at one time keep their order."""
        result, clock = mido.MidiTrack(), 0
        for time, message in sorted(events, key=lambda event: event[0]):
            result.append(message.copy(time=time - clock))
            clock = time
        return result

    bars, rates = list(piece.tempo), list(piece.tempo.values())
    tempo = []
    for beat in range(int(end) + 1):
        rate = np.interp(1 + beat / piece.beats_per_bar, bars, rates)
        message = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(rate))
        # The first mark also covers the upbeat.
        tempo.append((ticks(Fraction(beat)) if beat else 0, message))
    tempo.append((ticks(end + TAIL_BEATS), mido.MetaMessage("end_of_track")))

    file = mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT)
    file.tracks.append(track(tempo))
    melodic = (channel for channel in range(16) if channel != DRUM_CHANNEL)
    for voice, (notes, _) in zip(piece.voices, parsed, strict=True):
        channel = DRUM_CHANNEL if voice.instrument == "drums" else next(melodic)
        program = PROGRAMS[voice.instrument]
        events = [
            (0, mido.Message("program_change", channel=channel, program=program)),
            (0, mido.Message("control_change", channel=channel, control=7, value=voice.volume)),
            (0, mido.Message("control_change", channel=channel, control=10, value=voice.pan)),
        ]
        # Ends before starts: otherwise the end of a note would cut off its repetition.
        for note in notes:
            stop = ticks(note.start + note.length * Fraction(voice.gate))
            off = mido.Message("note_off", channel=channel, note=note.pitch)
            events.append((stop, off))
        for note in notes:
            on = mido.Message("note_on", channel=channel, note=note.pitch, velocity=note.velocity)
            events.append((ticks(note.start), on))
        file.tracks.append(track(events))
    return file


def synthesize(midi: mido.MidiFile, fluidsynth: str, soundfont: Path) -> NDArray[np.float64]:
    """Play a MIDI file through FluidSynth; the result has the shape (samples, 2)."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        midi.save(score)
        # Floats do not clip, so the gain is free; the chorus would blur the ensembles.
        options = ["-ni", "-q", "-C", "0", "-g", "0.5", "-r", str(SAMPLE_RATE)]
        output = ["-T", "wav", "-O", "float", "-F", str(sound)]
        command = [fluidsynth, *options, *output, str(soundfont), str(score)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        samples: NDArray[np.float64] = soundfile.read(sound, always_2d=True)[0]
    return samples


def finish(samples: NDArray[np.float64], piece: Piece) -> NDArray[np.float64]:
    """Trim the silence at both ends, set the level and fade."""
    envelope = np.abs(samples).max(axis=1)
    loud = np.flatnonzero(envelope > SILENCE * envelope.max())
    samples = samples[loud[0] : loud[-1] + 1]
    samples *= 10 ** (piece.loudness / 20) / np.sqrt(np.mean(samples**2))
    samples = CEILING * np.tanh(samples / CEILING)
    for ramp, seconds in ((slice(None), FADE_IN), (slice(None, None, -1), piece.fade)):
        length = round(seconds * SAMPLE_RATE)
        samples[ramp][:length] *= np.sin(np.linspace(0, np.pi / 2, length))[:, None] ** 2
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the example pieces to Ogg Vorbis.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PIECES)}")
    parser.add_argument("--soundfont", type=Path, help="SF2 file to use instead of FluidR3 GM")
    arguments = parser.parse_args()

    if unknown := [name for name in arguments.names if name not in PIECES]:
        sys.exit(f"render.py: no piece {unknown[0]!r}; there are {', '.join(PIECES)}")
    fluidsynth = shutil.which("fluidsynth")
    if fluidsynth is None:
        sys.exit("render.py: fluidsynth is missing (apt-get install fluidsynth)")
    candidates = [arguments.soundfont] if arguments.soundfont else SOUNDFONTS
    soundfont = next((path for path in candidates if path.is_file()), None)
    if soundfont is None:
        sys.exit(
            f"render.py: no soundfont at {' or '.join(map(str, candidates))}"
            " (apt-get install fluid-soundfont-gm, or --soundfont FILE)"
        )

    for name in arguments.names or PIECES:
        samples = finish(synthesize(to_midi(PIECES[name]), fluidsynth, soundfont), PIECES[name])
        target = HERE / f"{name}.ogg"
        soundfile.write(target, samples, SAMPLE_RATE, compression_level=COMPRESSION)
        size = target.stat().st_size / 1024
        print(f"{target.name}: {len(samples) / SAMPLE_RATE:.1f} s, {size:.0f} KiB")


if __name__ == "__main__":
    main()
