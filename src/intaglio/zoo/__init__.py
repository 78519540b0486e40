"""Reference networks and post-processing written here."""
