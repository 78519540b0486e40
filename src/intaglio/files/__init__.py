"""Atomic file writes, fingerprints, and checkpoints from which interrupted runs resume."""

from intaglio.files.checkpoint_file import Checkpoint, CheckpointKind, run_fingerprint
from intaglio.files.digest import Digest, arrays_fingerprint, data_fingerprint, text_fingerprint
from intaglio.files.whole import TEMPORARY_PREFIX, move_files, temporary_folder, whole_file, whole_tree

__all__ = [
    "TEMPORARY_PREFIX",
    "Checkpoint",
    "CheckpointKind",
    "Digest",
    "arrays_fingerprint",
    "data_fingerprint",
    "move_files",
    "run_fingerprint",
    "temporary_folder",
    "text_fingerprint",
    "whole_file",
    "whole_tree",
]
