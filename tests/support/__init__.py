"""Checkers that more than one test uses: each is itself tested, by planted bugs, in tests/meta."""
