"""How good is it: metrics, their confidence intervals, and the report over labelled images."""
