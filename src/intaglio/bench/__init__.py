"""Our compiled program beside other people's engines: the same network, one process, turns."""
