"""What a board that is not at hand would need, computed from the graphs: never a measurement."""
