"""The model in the box: README.md beside this file is its card."""

from pathlib import Path

PRETRAINED = Path(__file__).parent
"""A checkpoint folder with the generators only."""
