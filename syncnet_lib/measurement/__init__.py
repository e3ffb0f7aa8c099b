"""A video to its verdict."""
