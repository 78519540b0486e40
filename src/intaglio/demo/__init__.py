"""Demonstration of `make demo`: train, quantize, lower, run, compare; takes seconds."""
