"""A bake-off on disk: what is written when, whole or not at all, and read back without trust."""
