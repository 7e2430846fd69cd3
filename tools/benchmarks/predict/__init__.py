"""Prediction of what a board that is not at hand would need, from the graphs: no measurement."""
