"""Read networks that other tools quantized into Graph and Plan (see `load`). Float files do not use this package."""
