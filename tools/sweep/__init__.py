"""The refinements against each other: many small runs, one table."""
