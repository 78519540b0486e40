"""C programs around a model: they read a file, prepare it, run the model and show what its outputs mean."""
