"""Compare latency with other engines: same network, one process, alternating rounds."""
