"""What several test files share: small networks, random programs, drivers of engines, and comparisons."""
