"""The rules: a file a diagnosis."""
