"""Kernels for every instruction set with vectors, written once: rows, tiles, and the pipelines that fuse them."""
