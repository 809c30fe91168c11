"""Ctrl-C that compiled code wraps is still Ctrl-C."""

__all__ = ["interrupted"]


def interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is at the bottom of this error.

    It may arrive while compiled code makes the Python objects that it returns: CPython then raises SystemError from
    it, once more in each function on the way.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None
