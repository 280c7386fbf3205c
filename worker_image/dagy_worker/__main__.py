"""``python -m dagy_worker``: the command of the worker image."""

import os

from dagy_worker.main import leave, main

leave(main(os.environ))
