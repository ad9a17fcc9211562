"""Pictures, drawn by matplotlib, which is imported here only."""
