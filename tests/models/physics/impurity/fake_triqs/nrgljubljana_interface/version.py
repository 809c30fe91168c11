"""Stand-in."""

version = "3.2.0"
