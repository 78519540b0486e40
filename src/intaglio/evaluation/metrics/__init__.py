"""Built-in metrics: one file for each kind of task."""
