"""The timed loop and all it needs."""
