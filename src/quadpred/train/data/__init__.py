"""Training data: recordings to log-mels, labels to targets, both to batches of augmented crops."""
