"""The version of this code, also where it lies in a project and another one is installed. pyproject.toml reads it."""

VERSION = "0.1.0"
