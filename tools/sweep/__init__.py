"""Sweep of the refinements: many small runs, one table."""
