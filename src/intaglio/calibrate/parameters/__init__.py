"""Parameters: turn ranges into scales and zero points, derive those of biases, and adjust scales that do not fit."""
