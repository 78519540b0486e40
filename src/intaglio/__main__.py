"""`python -m intaglio`."""

import sys

from intaglio.cli import main

sys.exit(main())
