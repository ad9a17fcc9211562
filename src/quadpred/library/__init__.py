"""Uses of a predicted library: its summary, mood tags, playlists and maps."""
