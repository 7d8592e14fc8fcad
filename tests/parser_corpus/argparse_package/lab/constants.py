"""Constants."""

WIDTH = 12
NAMES = ["a", "b"]
