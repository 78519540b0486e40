"""From Graph and Plan to Program, with the proofs that nothing overflows and nothing stays float."""

from intaglio.lower.lowering import lower

__all__ = ["lower"]
