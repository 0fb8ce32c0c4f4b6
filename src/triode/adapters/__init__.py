"""Glue to the frameworks, one file each; a framework is imported only when its adapter is."""
