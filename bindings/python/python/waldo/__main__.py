"""The command line: `python -m waldo`, or `waldo`."""

import sys

from waldo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
