"""Machine code for formulas: elementary functions, the compiler, and the dispatch by type of array."""
