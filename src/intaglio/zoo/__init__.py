"""Reference networks."""
