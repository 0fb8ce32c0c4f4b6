"""Watching a training: what is called, what the units do, what the gradients do."""
