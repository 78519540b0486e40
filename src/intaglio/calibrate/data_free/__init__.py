"""Data-free: predict the statistics of every value, or make inputs, from weights and batch normalization alone."""
