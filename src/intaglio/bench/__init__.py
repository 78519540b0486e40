"""Compare latency with other engines: same network, one process, alternating rounds.

`intaglio.bench(program)` does it: the package itself can be called.
"""

from intaglio.bench.latency import bench
from intaglio.callable_package import make_callable

make_callable(__name__, bench)
