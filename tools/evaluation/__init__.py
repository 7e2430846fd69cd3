"""Evaluation over labelled images: metrics, their confidence intervals, operating points."""
