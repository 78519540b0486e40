"""Networks that other tools quantized, as Graph and Plan (see `load`). Float files need nothing of it."""
