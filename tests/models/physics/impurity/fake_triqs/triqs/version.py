"""Stand-in."""

version = "3.2.1"
git_hash = "0" * 40
