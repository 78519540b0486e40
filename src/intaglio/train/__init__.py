"""Training with quantization in the forward path; what is trained freezes to Graph and Plan, and so to a Program."""
