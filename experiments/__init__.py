"""Training, evaluation and comparison of the shipped models; README.md describes data and scores."""
