"""What commands print of files that somebody else made."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """Names out of files may hold what steers a terminal: it is written out."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
