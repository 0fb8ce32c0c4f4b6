"""A bake-off as it runs: which trials next, who trains them, and what is shown meanwhile."""
