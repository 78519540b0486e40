"""From Graph and Plan to Program, with the check that nothing stays float."""

from intaglio.lower.lowering import lower

__all__ = ["lower"]
