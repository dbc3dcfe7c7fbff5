"""`python -m edge_las`."""

import sys

from edge_las.cli import main

if __name__ == "__main__":
    sys.exit(main())
