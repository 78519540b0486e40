"""The public calls from a shell."""

from intaglio.cli.main import main

__all__ = ["main"]
