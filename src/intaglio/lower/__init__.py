"""Lower Graph and Plan to a Program; refuse networks in which a value would stay float."""

from intaglio.lower.lowering import lower

__all__ = ["lower"]
