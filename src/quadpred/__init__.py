"""Second by second, the emotion perceived in music: Russell's quadrants, arousal and valence."""

__version__ = "0.1.0"
