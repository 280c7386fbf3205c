"""``python -m dagy_worker``: the command of the worker image."""

import gc
import os
import sys

gc.disable()  # nothing of what is imported becomes garbage, and looking for it costs a tenth of the start
from dagy_worker.main import main  # noqa: E402

gc.freeze()
gc.enable()
sys.exit(main(os.environ))
