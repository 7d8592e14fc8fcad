"""A package."""

from .constants import WIDTH
