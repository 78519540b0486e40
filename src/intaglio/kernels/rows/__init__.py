"""Convolutional networks in strips of rows: stages, tiles and the pipelines that fuse them."""
