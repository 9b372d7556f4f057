"""The tests: two processes beside each other (`make test`), each with one thread for torch.

The networks are so small that a second thread costs more than it gives. It is said here, before anything imports
torch, and holds for the processes that tests start too.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
