"""Quantizers: modules that round a tensor with a scale that is learned or observed during training."""
