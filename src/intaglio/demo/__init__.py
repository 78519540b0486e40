"""Demonstration of `make demo`: sample, quantize, compile, compare; takes about a minute."""
