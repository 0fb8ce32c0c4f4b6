"""These files are trainings to be run, not modules to be imported and searched for examples."""

collect_ignore_glob = ["*.py"]
