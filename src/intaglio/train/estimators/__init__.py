"""Gradient estimators: how training rounds, and the gradient of rounding.

Evaluation always rounds to nearest, as the frozen network does.
"""
