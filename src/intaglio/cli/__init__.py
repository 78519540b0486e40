"""Command-line interface: `intaglio COMMAND ...`."""

from intaglio.cli.main import main

__all__ = ["main"]
