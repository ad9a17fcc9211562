"""Training: speech encoders, their transfer to music, evaluation and export (extra `train`)."""
