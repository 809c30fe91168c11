"""The other side of child_process.py: `python -m models.physics.atoms.label_child`, pickles in and out.

Libraries print where they like, so file descriptor 1 is moved away first and leads to stderr afterwards. A thread ends
the process when its parent has died, so that no calculation goes on for nobody.
"""

import base64
import importlib
import os
import pickle
import sys
import threading
import time

from models.physics.atoms.child_process import Done

__all__: list[str] = []

ORPHAN_POLL_S = 1.0


def main() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def reply(what: object) -> None:
        replies.write(base64.b64encode(pickle.dumps(what)) + b"\n")
        replies.flush()

    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    request = pickle.load(sys.stdin.buffer)
    module, _, name = request["function"].partition(":")
    for yielded in getattr(importlib.import_module(module), name)(**request["arguments"]):
        reply(yielded)
    reply(Done())
    os._exit(0)  # what libraries do at exit can crash, after all is said


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_POLL_S)
    os._exit(1)


if __name__ == "__main__":
    main()
