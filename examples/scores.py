"""The example pieces, written as text: eight arrangements of public-domain melodies.

The notation, read from left to right:

* ``w h q e s`` set the note value from whole to sixteenth, a dot adds half of it (``q.``), and
  ``t`` is a third of an eighth, for ornaments. The value holds until the next one.
* ``F#5`` is a note, ``A3+D4+F#4`` a chord, ``R`` a rest; C4 is the middle C.
* ``G3*8`` repeats, ``F#4~`` ties to the next note, ``B4!`` accents.
* ``pp p mp mf f ff`` set the loudness; after ``<`` it glides to the next mark.
* ``|`` is a bar line. The renderer refuses a bar that does not fill its metre.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """One instrument's part."""

    instrument: str
    notes: str
    transpose: int = 0
    """Semitones added to every note, so that instruments can share a melody in octaves."""
    gate: float = 1.0
    """How much of its value a note sounds: well below one is staccato."""
    volume: int = 100
    """The mixer's fader, 0 to 127."""
    pan: int = 64
    """0 is left, 127 right."""


@dataclass(frozen=True)
class Piece:
    """A short arrangement for several voices."""

    tempo: Mapping[float, float]
    """Quarter notes per minute at given bars, linear in between."""
    voices: tuple[Voice, ...]
    beats_per_bar: int = 4
    pickup: float = 0.0
    """Beats before the first full bar."""
    loudness: float = -18.0
    """Root mean square in decibels of full scale, so that a lullaby stays softer than a march."""
    fade: float = 0.5
    """Seconds faded out at the end; long where the excerpt stops inside a phrase."""


# Beethoven, Symphony no. 9, finale: the melody twice through its forms, in D major.
ODE_SOFT = """
mf q F#5 F#5 G5 A5 | A5 G5 F#5 E5 | D5 D5 E5 F#5 | q. F#5 e E5 h E5 |
q F#5 F#5 G5 A5 | A5 G5 F#5 E5 | D5 D5 E5 F#5 | < q. E5 e D5 h D5 |"""
ODE_FULL = """
f q E5 E5 F#5 D5 | E5 e F#5 G5 q F#5 D5 | E5 e F#5 G5 q F#5 E5 | D5 E5 A4 F#5~ |
ff F#5 F#5 G5 A5 | A5 G5 F#5 E5 | D5 D5 E5 F#5 | q. E5! e D5! h D5! |"""
ODE_CHORDS_SOFT = """
mp e A3+D4+F#4*4 A3+C#4+G4*2 A3+D4+F#4*2 |
A3+D4+F#4*2 A3+C#4+G4*2 A3+D4+F#4*2 A3+C#4+E4*2 |
A3+D4+F#4*2 B3+D4+F#4*2 A3+C#4+E4*2 A3+D4+F#4*2 | A3+D4+F#4*3 A3+C#4+E4*5 |
A3+D4+F#4*4 A3+C#4+G4*2 A3+D4+F#4*2 |
A3+D4+F#4*2 A3+C#4+G4*2 A3+D4+F#4*2 A3+C#4+E4*2 |
A3+D4+F#4*2 B3+D4+F#4*2 A3+C#4+E4*2 A3+D4+F#4*2 | < A3+C#4+G4*3 A3+D4+F#4*5 |"""
ODE_CHORDS_FULL = """
f e A3+C#4+E4*4 A3+D4+F#4*4 | A3+C#4+E4*3 A3+C#4+G4 A3+D4+F#4*4 |
A3+C#4+E4*3 A3+C#4+G4 A#3+C#4+F#4*4 | B3+D4+F#4*2 G#3+D4+E4*2 A3+C#4+E4*4 |
ff A3+D4+F#4*4 A3+C#4+G4*2 A3+D4+F#4*2 |
A3+D4+F#4*2 A3+C#4+G4*2 A3+D4+F#4*2 A3+C#4+E4*2 |
A3+D4+F#4*2 B3+D4+F#4*2 A3+C#4+E4*2 A3+D4+F#4*2 | A3+C#4+G4*3 A3+D4+F#4*5 |"""
ODE_BASS_SOFT = """
mf q D3 D3 E3 F#3 | F#3 E3 D3 C#3 | D3 B2 C#3 D3 | A2 A2 A2 C#3 |
D3 D3 E3 F#3 | F#3 E3 D3 C#3 | D3 B2 C#3 D3 | < A2 A2 D3 D3 |"""
ODE_BASS_FULL = """
f q A2 C#3 D3 A2 | C#3 A2 D3 F#3 | C#3 A2 A#2 F#2 | B2 E3 A2 A2 |
ff D3 D3 E3 F#3 | F#3 E3 D3 C#3 | D3 B2 C#3 D3 | A2 A2 h D2+D3! |"""

ODE_TO_JOY = Piece(
    tempo={1: 164, 9: 168, 16: 172},
    voices=(
        Voice("strings", ODE_SOFT + ODE_FULL, volume=105, pan=50),
        Voice("flute", ODE_SOFT + ODE_FULL, volume=80, pan=76),
        Voice("piccolo", "w R*8 |" + ODE_FULL, transpose=12, volume=75, pan=76),
        Voice("trumpet", "w R*8 |" + ODE_FULL, volume=85, pan=72),
        Voice("strings", ODE_CHORDS_SOFT + ODE_CHORDS_FULL, gate=0.5, volume=90, pan=58),
        Voice("brass", "w R*8 |" + ODE_CHORDS_FULL, gate=0.6, volume=70, pan=80),
        Voice("pizzicato", ODE_BASS_SOFT + ODE_BASS_FULL, volume=110, pan=84),
        Voice("cello", "w R*8 |" + ODE_BASS_FULL, volume=95, pan=84),
        Voice(
            "timpani",
            """
            w R*7 | mf < s A2*8 D3*8 |
            f q A2 e A2*2 q D3 D3 | A2 e A2*2 q D3 D3 | A2 e A2*2 h R | h R s A2*8 |
            ff q D3! e D3*2 q A2 D3 | D3 A2 D3 A2 | D3 R A2 D3 | A2 e A2*2 s D3*8 |""",
            volume=95,
        ),
        Voice(  # F#3 is the tambourine and C#3 the crash cymbal of the drum map.
            "drums",
            """
            w R*4 | mp q R F#3 R F#3 | R F#3 R F#3 | R F#3 R F#3 | R F#3 e F#3*4 |
            mf q C#3+F#3 F#3 e F#3*2 q F#3 | F#3 F#3 e F#3*2 q F#3 |
            F#3 F#3 e F#3*2 q F#3 | F#3 F#3 e F#3*4 |
            f q C#3+F#3 F#3 e F#3*2 q F#3 | F#3 F#3 e F#3*2 q F#3 |
            F#3 F#3 e F#3*2 q F#3 | F#3 F#3 h C#3+F#3! |""",
            volume=75,
        ),
    ),
)

# Vivaldi, The Four Seasons, Spring: the opening ritornello in E major, string parts as written.
# Bars 4 to 6 echo bars 1 to 3; bars 8 and 7 are the same.
SPRING_A1 = "e G#5*2 G#5 s F#5 E5 q. B5! s B5 A5 |" * 2
SPRING_B1 = "e B5 s A5 G#5 e A5 B5 C#6! q B5 e E5 |" * 2
SPRING_A2 = "e E5*4 q. G#5! s G#5 F#5 |" * 2
SPRING_B2 = "e G#5 s F#5 E5 e F#5 G#5 A5! q G#5 e G#5 |" * 2
SPRING_A3 = "e B4*4 q. E4! s G#4 A4 |" * 2
SPRING_B3 = "q E4 E4 e A4! q E4 e E4 |" * 2
SPRING_BASS = """
f e E3 | q E3*4 | E3*4 | e E3 E3 A2 A#2 q B2 e R mp E3 |
q E3*4 | E3*4 | e E3 E3 A2 A#2 q B2 e R f E3 |
q E3*4 | E3*4 | q E3 e E3 B2 E3 E2 B3 B2 | h E2 R |"""

SPRING = Piece(
    tempo={0: 102, 9: 102, 10: 88},
    pickup=0.5,
    voices=(
        Voice(
            "violin",
            f"""
            f e E5 | {SPRING_A1} e G#5 s A5 B5 e A5 G#5 F#5 D#5 B4 mp E5 |
            {SPRING_A1} e G#5 s A5 B5 e A5 G#5 q F#5 e R f E5 |
            {SPRING_B1} e C#6! q B5 e A5 G#5 s F#5 E5 t G#5 F#5 G#5 F#5 G#5 F#5 | h E5! R |""",
            gate=0.85,
            volume=105,
            pan=44,
        ),
        Voice(
            "violin",
            f"""
            f e B4 | {SPRING_A2} e E5 s F#5 G#5 e F#5 E5 q D#5 e R mp B4 |
            {SPRING_A2} e E5 s F#5 G#5 e F#5 E5 q D#5 e R f G#5 |
            {SPRING_B2} e A5! q G#5 e F#5 q E5 D#5 | h E5! R |""",
            gate=0.85,
            volume=90,
            pan=56,
        ),
        Voice(
            "viola",
            f"""
            f e G#4 | {SPRING_A3} e B4 B4 C#5 C#5 q F#4 e R mp G#4 |
            {SPRING_A3} e B4 B4 C#5 C#5 q F#4 e R f G#4 |
            {SPRING_B3} e A4! q E4 e D#5 q B4 B4 | h G#4! R |""",
            gate=0.85,
            volume=90,
            pan=74,
        ),
        Voice("cello", SPRING_BASS, gate=0.8, volume=100, pan=84),
        Voice("contrabass", SPRING_BASS, transpose=-12, gate=0.8, volume=90, pan=88),
        Voice(
            "harpsichord",
            """
            mf e G#3+B3+E4 | q G#3+B3+E4*4 | G#3+B3+E4*4 |
            e G#3+B3+E4*2 A3+C#4+F#4 A#3+C#4+E4 q B3+D#4+F#4 e R mp G#3+B3+E4 |
            q G#3+B3+E4*4 | G#3+B3+E4*4 |
            e G#3+B3+E4*2 A3+C#4+F#4 A#3+C#4+E4 q B3+D#4+F#4 e R mf G#3+B3+E4 |
            q G#3+B3+E4 R e A3+C#4+E4 G#3+B3+E4 q G#3+B3+E4 |
            q G#3+B3+E4 R e A3+C#4+E4 G#3+B3+E4 q G#3+B3+E4 |
            e A3+C#4+E4 q G#3+B3+E4 e A3+B3+D#4+F#4 q G#3+B3+E4 F#3+A3+B3+D#4 |
            h E3+G#3+B3+E4! R |""",
            volume=80,
        ),
    ),
)

# Grieg, Peer Gynt: In the Hall of the Mountain King in B minor, from the build-up to the end.
KING_THEME = """
e B4 C#5 D5 E5 F#5! D5 q F#5 | e E#5! C#5 q E#5 e E5! C5 q E5 |
e B4 C#5 D5 E5 F#5! D5 F#5 B5 |"""
KING_A = KING_THEME + "A5 F#5 D5 F#5 h A5! |"
KING_LAST = KING_THEME + "F#5 D5 F#5 B5 h B4! |"
KING_DOMINANT = """
e F#4 G#4 A#4 B4 C#5! A#4 q C#5 | e D5! A#4 q D5 e C#5! A#4 q C#5 |
e F#4 G#4 A#4 B4 C#5! A#4 q C#5 | e D5! A#4 q D5 h C#5! |"""
KING_STRIKE = "e R t G#5 A5 A#5 q B5! h R |"
KING_CODA = f"""
{KING_STRIKE} {KING_STRIKE} e B4 C#5 D5 E5 F#5 D5 F#5 B5 | A#5 F#5 A#5 C#6 h B5! | w R |
{KING_STRIKE}"""
KING_HITS = """
f h F#3+A#3+C#4! F#3+A#3+C#4! | F#3+A#3+D4! F#3+A#3+C#4! |
F#3+A#3+C#4! F#3+A#3+C#4! | F#3+A#3+D4! F#3+A#3+C#4! |
ff h B3+D4+F#4! B3+D4+F#4! | B3+C#4+E#4! B3+C4+E4! | B3+D4+F#4! B3+D4+F#4! |
B3+D4+F#4! B3+D4+F#4! |
q R D4+E#4+G#4+B4! h R | q R D4+E#4+G#4+B4! h R | q R D4+G4+B4 R D4+F#4+B4 |
R C#4+F#4+A#4 R D4+F#4+B4 | w R | q R D4+F#4+B4! h R |"""
KING_BASS = (
    """
    mf < q B1 F#2 B1 F#2 | B1 F#2 B1 F#2 | B1 F#2 B1 F#2 | D2 A2 D2 A2 |
    f B1! F#2 B1! F#2 | B1! F#2 B1! F#2 | B1! F#2 B1! F#2 | D2! A2 D2! A2 |
    ff e F#1+F#2! E2 D2 C#2 F#1+F#2! E2 D2 C#2 | D2! C#2 D2 E2 F#1+F#2! E2 D2 C#2 |
    F#1+F#2! E2 D2 C#2 F#1+F#2! E2 D2 C#2 | D2! C#2 D2 E2 F#1+F#2! E2 D2 C#2 |"""
    + "B1+B2! A2 G2 F#2 B1+B2! A2 G2 F#2 |" * 4
    + """
    q B1+B2! R h R | q B1+B2! R h R | q G1+G2 R F#1+F#2 R | F#1+F#2 R B1+B2 R |"""
    + "mf < s B1 B2 B1 B2 B1 B2 B1 B2 B1 B2 B1 B2 B1 B2 B1 B2 | ff q B1+B2! B1+B2! h R |"
)

MOUNTAIN_KING = Piece(
    tempo={1: 160, 9: 180, 17: 212, 22: 228},
    loudness=-15.0,
    voices=(
        Voice(
            "bassoon",
            f"mf < {KING_A} f {KING_A} ff" + KING_DOMINANT + KING_LAST + KING_CODA,
            transpose=-24,
            gate=0.6,
            pan=74,
        ),
        Voice("pizzicato", f"mf < {KING_A} f", transpose=-12, volume=115, pan=50),
        Voice("oboe", f"w R*4 | f {KING_A}", gate=0.6, volume=90, pan=70),
        Voice(
            "strings",
            f"w R*4 | f {KING_A} ff {KING_DOMINANT + KING_LAST + KING_CODA}",
            gate=0.8,
            volume=120,
            pan=48,
        ),
        Voice(
            "piccolo",
            f"w R*8 | ff {KING_DOMINANT + KING_LAST + KING_CODA}",
            transpose=12,
            gate=0.6,
            volume=75,
            pan=72,
        ),
        Voice("trumpet", f"w R*12 | ff {KING_LAST + KING_CODA}", gate=0.6, volume=85, pan=78),
        Voice(
            "horn",
            """
            w R*4 | mf q R D4+F#4 R D4+F#4 | R C#4+F#4 R C4+F#4 | R D4+F#4 R D4+F#4 |
            R F#4+A4 R F#4+A4 |"""
            + KING_HITS,
            gate=0.5,
            pan=56,
        ),
        Voice("trombone", "w R*8 |" + KING_HITS, transpose=-12, gate=0.8, pan=84),
        Voice("tremolo", "w R*8 |" + KING_HITS, volume=90, pan=58),
        Voice("pizzicato", KING_BASS, volume=110, pan=84),
        Voice("contrabass", KING_BASS, gate=0.7, volume=110, pan=88),
        Voice(
            "timpani",
            """
            w R*8 | f q F#2 R R R | R R F#2 R | F#2 R R R | R R s F#2*8 |
            ff q B2! R B2 R | B2! R B2 R | B2! R B2 R | B2! R s B2*8 |
            q B2! B2! h R | q B2! B2! h R | w R | q R R B2! R | mf < s B2*16 |
            ff q B2! B2! h R |""",
            volume=105,
        ),
        Voice(  # C2 is the bass drum and C#3 the crash cymbal of the drum map.
            "drums",
            """
            w R*8 | f q C2 R C2 R | C2 R C2 R | C2 R C2 R | C2 R C2 R |
            ff q C2+C#3 R C2 R | C2 R C2 R | C2+C#3 R C2 R | C2 R C2+C#3 R |
            R C2+C#3 h R | q R C2+C#3 h R | w R*2 | mf < s C2*16 | ff q R C2+C#3! h R |""",
            volume=90,
        ),
    ),
)

# Vivaldi, The Four Seasons, Summer: the storm in G minor, bars 1-17, 20 and the last six.
STORM_START = "s G4! G3*11 | F4! G3*11 | Eb4! G3*11 | D4! G3*7 e G3 R |"
STORM_AGAIN = "s D5! D4*11 | C5! D4*11 | Bb4! D4*11 | A4! D4*7 e D4 R |"
STORM_RUN_1 = "s R D5! C5 Bb4 A4 G4 F#4 E4 D4 C4 Bb3 A3 |"
STORM_RUN_2 = "s G3 G5! F5 Eb5 D5 C5 Bb4 A4 G4 F4 Eb4 D4 |"
STORM_RUN_3 = "s C4 Bb5! A5 G5 F5 Eb5 D5 C5 Bb4 A4 G4 F4 |"
STORM_RUN_4 = "s Eb4 D6! C6 Bb5 A5 G5 F#5 E5 D5 C5 Bb4 A4 |"
STORM_BASS = f"""
f s G3! G2*11 | F3! G2*11 | Eb3! G2*11 | D3! G2*7 e G2 R |
f < s D4! D3*11 | C4! D3*11 | Bb3! D3*11 | A3! D3*7 e D3 R | h. R |
ff e G2*6 | G2*6 | C3*6 | C3*6 | Eb3*6 | Eb3*6 | G3*6 | s G3*4 D4! G3*3 D4! G3*3 |
C3! C3*11 | D3! D3*11 | {"s G2! G3 G2 G3 G2 G3 G2 G3 G2 G3 G2 G3 |" * 3} h. G2! |"""
STORM_VIOLA = f"""
f {STORM_START} f < {STORM_AGAIN} h. R |
ff s G3*12 | G3*12 | C4*12 | C4*12 | Eb4*12 | Eb4*12 | G4*12 | G4*4 D5! G4*3 D5! G4*3 |
Eb4*12 | D4*12 | D4 Bb3*3 D4*4 G4*4 | Bb4*4 D5*4 D4*4 | Bb3*4 G3*4 D4*4 | h. G3! |"""
STORM_VIOLIN_1 = f"""
f {STORM_START} f < {STORM_AGAIN} ff {STORM_RUN_1} G3*12 | {STORM_RUN_2} C4*12 |
{STORM_RUN_3} Eb4*12 | {STORM_RUN_4} G4*12 | D5! G4*3 D5! G4*3 D5! G4*3 |
G4*12 | F#4*12 | G4! G4*3 Bb4*4 D5*4 | G5! G5*3 Bb5*4 G5*4 | D5! D5*3 Bb4*4 G4*4 | h. G3! |"""
STORM_VIOLIN_2 = f"""
f {STORM_START} f < {STORM_AGAIN} h. R | ff {STORM_RUN_1} G3*12 | {STORM_RUN_2} C4*12 |
{STORM_RUN_3} Eb4*12 | {STORM_RUN_4} G4*4 D5! G4*3 D5! G4*3 |
A3*12 | A3*12 | Bb3! D4*3 G4*4 Bb4*4 | D5! D5*3 G5*4 Bb5*4 | G5! G5*3 D5*4 Bb4*4 | h. G3! |"""

SUMMER_STORM = Piece(
    tempo={1: 156, 22: 156, 23: 140},
    beats_per_bar=3,
    loudness=-16.0,
    voices=(
        # The ensemble speaks fast enough for sixteenths, the solo instruments only tint it.
        Voice("strings", STORM_VIOLIN_1, volume=115, pan=40),
        Voice("violin", STORM_VIOLIN_1, volume=75, pan=40),
        Voice("strings", STORM_VIOLIN_2, volume=105, pan=54),
        Voice("strings", STORM_VIOLA, volume=95, pan=74),
        Voice("strings", STORM_BASS, volume=110, pan=84),
        Voice("contrabass", STORM_BASS, transpose=-12, volume=110, pan=88),
        Voice(
            "harpsichord",
            """
            f q G3+G4! R R | F3+F4! R R | Eb3+Eb4! R R | D3+D4! R R |
            D4+D5! R R | C4+C5! R R | Bb3+Bb4! R R | A3+A4! R R | h. R |
            q G3+Bb3+D4*3 | G3+Bb3+D4*3 | G3+C4+Eb4*3 | G3+C4+Eb4*3 | G3+Bb3+Eb4*3 |
            G3+Bb3+Eb4*3 | G3+Bb3+D4*3 | G3+Bb3+D4*3 | A3+C4+Eb4+G4*3 | A3+D4+F#4*3 |
            G3+Bb3+D4*3 | G3+Bb3+D4*3 | G3+Bb3+D4*3 | h. G3+Bb3+D4! |""",
            volume=85,
        ),
    ),
)

# Chopin, Prelude in E minor op. 28 no. 4: the upbeat and bars 1 to 7, faded out. The cello and
# the strings are added; the piano part is as written.
PRELUDE_MELODY = """
p e. B3 s B4 | h. B4 q C5 | h. B4 q C5 | h. B4 q C5 | h. B4 q Bb4 | mp h. A4 q B4 |
h. A4 q B4 | < h. A4 e. B4 p s A4 |"""

PRELUDE = Piece(
    tempo={0: 62, 7: 60},
    pickup=1,
    loudness=-24.0,
    fade=3.0,
    voices=(
        Voice("piano", PRELUDE_MELODY, volume=115, pan=72),
        Voice(
            "piano",
            """
            pp q R | e G3+B3+E4*8 | F#3+A3+E4*4 F#3+A3+D#4*4 |
            F3+A3+D#4*4 F3+A3+D4*2 F3+G#3+D4*2 | E3+G#3+D4*4 E3+G3+D4*2 E3+G3+C#4*2 |
            E3+G3+C4*4 E3+F#3+C4*4 | E3+F#3+C4*4 D#3+F#3+C4*4 | D3+F#3+C4*8 |""",
            volume=115,
            pan=56,
        ),
        Voice("cello", PRELUDE_MELODY, transpose=-12, volume=80, pan=80),
        Voice(
            "strings",
            """
            pp q R | w G3+B3+E4 | h F#3+A3+E4 F#3+A3+D#4 | F3+A3+D#4 q F3+A3+D4 F3+G#3+D4 |
            h E3+G#3+D4 q E3+G3+D4 E3+G3+C#4 | h E3+G3+C4 E3+F#3+C4 |
            E3+F#3+C4 D#3+F#3+C4 | w D3+F#3+C4 |""",
            volume=70,
            pan=50,
        ),
    ),
)

# Grieg, Peer Gynt: Aase's Death in B minor, string parts as written, bars 1-4, 7 and 8.
AASE_VIOLIN = """
p q F#4 < B4 mp h C#5 | p q F#4 < B4 mp h C#5 | q D5 C#5 B4 e C#5 D5 | q E5 D5 q. C#5 e R |
mf q E5 D5 C#5 e D5 E5 | < q A#4 p h B4 q R |"""

AASES_DEATH = Piece(
    tempo={1: 54, 6: 50, 7: 42},
    loudness=-24.0,
    fade=1.0,
    voices=(
        Voice("slow strings", AASE_VIOLIN, volume=110, pan=40),
        Voice("violin", AASE_VIOLIN, volume=70, pan=44),
        Voice(
            "slow strings",
            """
            p h F#4 < mp F#4 | p F#4 < mp F#4 | q D4 C#4 B3 e C#4 D4 | q E4 D4 q. C#4 e R |
            mf q E4 D4 C#4 e D4 E4 | < q A#3 p h B3 q R |""",
            pan=54,
        ),
        Voice(
            "viola",
            """
            p h B3 < mp A#3 | p B3 < mp A#3 | B3 B3 | B3 q. A#3 e R |
            mf h B3 q A#3 e B3 C#4 | q F#4~ h F#4 q R |""",
            pan=74,
        ),
        Voice(
            "cello",
            """
            p q D3 < F#3 mp h C#3 | p q D3 < F#3 mp h C#3 | q D3 e E3 F#3 q G3 F#3 |
            q E3 e F#3 G#3 q. C#3 e R | mf q E3 e F#3 G#3 q A#3 e G#3 G3 |
            < F#3 E3 p h D3 q R |""",
            pan=82,
        ),
        Voice(
            "contrabass",
            """
            p q B1 < D2 mp h F#2 | p q B1 < D2 mp h F#2 | q B1 e C#2 D2 q E2 D2 |
            q C#2 e D2 E2 q. F#2 e R | mf q C#2 e D2 E2 q F#2 E2 |
            < e D2 C#2 p h B1 q R |""",
            pan=88,
        ),
    ),
)

# Satie, Gymnopédie no. 1: bars 3 to 12. The flute takes the melody from the piano.
GYMNOPEDIE_MELODY = """
h. R | R | p q R < F#5 A5 | mp G5 F#5 C#5 | B4 < C#5 mf D5 | < h. A4 | mp F#4~ | F#4~ |
< F#4~ | p F#4 |"""

GYMNOPEDIE = Piece(
    tempo={1: 72, 8: 70, 10: 64},
    beats_per_bar=3,
    loudness=-25.0,
    fade=1.5,
    voices=(
        Voice("flute", GYMNOPEDIE_MELODY, volume=95, pan=72),
        Voice("piano", "p q R h B3+D4+F#4 | q R h A3+C#4+F#4 |" * 5, volume=105, pan=58),
        Voice("piano", "p h. G2 | D2 |" * 5, volume=105, pan=58),
        Voice("harp", "mp q G2 R R | D2 R R |" * 5, pan=44),
        Voice("slow strings", "pp h. B3+D4+F#4 | A3+C#4+F#4 |" * 5, volume=80, pan=80),
    ),
)

# Brahms, Wiegenlied op. 49 no. 4: two bars of rocking and the first strain, in E flat major.
LULLABY_MELODY = """
h. R | mp h R e G4 G4 | q. Bb4 e G4 q G4 | h Bb4 e G4 Bb4 | < q Eb5 mf q. D5 e C5 |
< q C5 mp Bb4 e F4 G4 | q Ab4 F4 e F4 G4 | h Ab4 e F4 Ab4 | D5 C5 < q Bb4 D5 | p h. Eb5 |"""
LULLABY_TONIC = "Eb3 Bb3 Eb4 G4 Eb4 Bb3 |"
LULLABY_DOMINANT = "Bb2 F3 Ab3 D4 Ab3 F3 |"

LULLABY = Piece(
    tempo={1: 74, 9: 72, 10: 56},
    beats_per_bar=3,
    loudness=-25.0,
    fade=1.5,
    voices=(
        Voice("flute", LULLABY_MELODY, volume=95, pan=70),
        Voice("celesta", LULLABY_MELODY, transpose=12, volume=60, pan=40),
        Voice(
            "harp",
            "p e "
            + LULLABY_TONIC * 4
            + "Eb3 Bb3 Bb2 F3 Ab3 D4 | Eb3 Bb3 Eb4 G4 Bb2 F3 |"
            + LULLABY_DOMINANT * 3
            + "Eb3 Bb3 Eb4 G4 Bb4 Eb5 |",
            volume=110,
            pan=48,
        ),
        Voice(
            "clarinet",
            """
            h. R*5 | p h R e D4 Eb4 | q F4 D4 e D4 Eb4 | h F4 e D4 F4 | Bb4 Ab4 q F4 Ab4 |
            h. G4 |""",
            volume=85,
            pan=78,
        ),
        Voice(
            "slow strings",
            "pp h. R |"
            + "G3+Bb3+Eb4 |" * 3
            + "q G3+Bb3+Eb4 h F3+Ab3+D4 | G3+Bb3+Eb4 q Ab3+D4 |"
            + "h. F3+Ab3+D4 |" * 3
            + "G3+Bb3+Eb4 |",
            volume=85,
            pan=60,
        ),
        Voice(
            "cello",
            "p h. Eb2 |" * 4 + "q Eb2 h Bb2 | Eb2 q Bb2 |" + "h. Bb2 |" * 3 + "Eb2 |",
            volume=75,
            pan=84,
        ),
    ),
)

PIECES: dict[str, Piece] = {
    "q1_ode_to_joy": ODE_TO_JOY,
    "q1_spring": SPRING,
    "q2_mountain_king": MOUNTAIN_KING,
    "q2_summer_storm": SUMMER_STORM,
    "q3_prelude_e_minor": PRELUDE,
    "q3_aases_death": AASES_DEATH,
    "q4_gymnopedie": GYMNOPEDIE,
    "q4_lullaby": LULLABY,
}
