"""The demonstration that `make demo` runs: train, quantize, lower, run, compare; seconds in all."""
