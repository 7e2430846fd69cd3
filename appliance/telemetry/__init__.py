"""What the box tells about itself: metrics, logs, and whether it is ready."""
