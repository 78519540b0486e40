"""Quantizers: modules that round a tensor to a grid which is learned or observed while the network trains."""
