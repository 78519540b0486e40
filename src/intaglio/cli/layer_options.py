"""Command-line options that give single layers other number formats, by name."""

from __future__ import annotations

import argparse

from intaglio.errors import UsageError
from intaglio.targets.target import WIDEST


def add_layer_options(parser: argparse._ActionsContainer) -> None:
    """Declare --layer and --ignored."""
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="PATTERN=FORMAT",
        help="another number format for a layer, a module or a pattern: first=a16, head=w8a16, features.1=a16, "
        "'features.*.conv=widest' (may be repeated)",
    )
    parser.add_argument(
        "--ignored",
        action="append",
        default=[],
        metavar="PATTERN",
        help="give a layer, a module or a pattern the most bits that the target has, as --layer PATTERN=widest does; "
        "an integer program has no float layers (may be repeated)",
    )


def parse_layers(args: argparse.Namespace) -> dict[str, str]:
    """Read both options as formats by layer name; --layer overrides --ignored."""
    layers = dict.fromkeys(args.ignored, WIDEST)
    for text in args.layer:
        pattern, equals, fmt = text.rpartition("=")
        if not equals:
            raise UsageError(f"--layer: expected PATTERN=FORMAT such as first=a16 or 'features.*=w8a16', got {text!r}")
        layers[pattern] = fmt
    return layers
