"""Gradient estimators: what rounding passes on in the backward pass, and how training rounds.

Evaluation rounds to nearest whatever the estimator, so that a trained network freezes to what was trained.
"""
