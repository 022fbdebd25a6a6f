"""`python -m tui` is `bert-tui`."""

import sys

from tui.app import main

sys.exit(main())
