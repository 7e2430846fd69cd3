"""What the denoisers gain, keep and cost, beside what else there is."""
