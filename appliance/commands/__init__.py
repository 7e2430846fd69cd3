"""Commands of the appliance, a file for each group."""
