"""The programs of a queue, called: what they answer, or in their own words why not."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["JobRefused", "QueueSilent", "answer_of", "submitted"]

ANSWER_S = 60.0


class JobRefused(ValueError):
    """The queue does not take a job; the message is what it said."""


class QueueSilent(RuntimeError):
    """The queue does not answer; the message is what it said instead."""


def answer_of(command: Sequence[str], *, text: str | None = None, nothing: Sequence[str] = ()) -> str:
    """What a program prints that gets `text` as its input. Raises QueueSilent with what it said instead.

    `nothing`: parts of the messages by which it says, whatever its exit status, that there is nothing to tell.
    """
    if shutil.which(command[0]) is None:
        raise QueueSilent(f"no `{command[0]}` on the PATH")
    try:
        reply = subprocess.run(command, input=text, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except subprocess.TimeoutExpired:
        raise QueueSilent(f"no answer of {command[0]} within {ANSWER_S:g} s") from None
    if reply.returncode and not any(words in reply.stderr + reply.stdout for words in nothing):
        words = " ".join((reply.stderr or reply.stdout).split())
        raise QueueSilent(words or f"{command[0]} ended with exit status {reply.returncode}")
    return reply.stdout


def submitted(command: Sequence[str], number: str, *, script: Path | None = None) -> str:
    """The number of the job that a program submits; `number` is the pattern of it in the answer, with a group job_id.

    `script` becomes its input. Raises JobRefused with the words of the queue.
    """
    try:
        answer = answer_of(command, text=None if script is None else script.read_text())
    except QueueSilent as error:
        raise JobRefused(str(error)) from None
    match = re.search(number, answer, re.MULTILINE)
    if match is None:
        raise JobRefused(f"found no number of a job in its answer: {' '.join(answer.split()) or 'nothing'}")
    return match["job_id"]
