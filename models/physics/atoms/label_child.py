"""The other side of child_process.py: `python -m models.physics.atoms.label_child`, JSON on stdin, JSON lines out.

Libraries print where they like, so file descriptor 1 is moved away first and leads to stderr afterwards. A thread ends
the process when its parent has died, so that no calculation goes on for nobody.
"""

import importlib
import json
import os
import sys
import threading
import time

__all__: list[str] = []

ORPHAN_POLL_S = 1.0


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    request = json.load(sys.stdin)
    module, _, name = request["function"].partition(":")
    for reply in getattr(importlib.import_module(module), name)(**request["arguments"]):
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    replies.write('{"done": true}\n')
    replies.flush()
    os._exit(0)  # what libraries do at exit can crash, after all is said


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_POLL_S)
    os._exit(1)


if __name__ == "__main__":
    main()
