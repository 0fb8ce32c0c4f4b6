"""`python -m triode` is the command `triode`."""

import sys

from triode.cli import main

sys.exit(main())
