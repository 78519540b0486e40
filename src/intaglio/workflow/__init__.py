"""Jobs behind the commands and the public calls: quantize, train, compare, inspect, and the files that they write."""
