"""`python -m brewery_assets.operations start`, `stop` or `status`."""

import sys

from brewery_assets.operations.platform import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
