"""The command line of the appliance, a file for each group of commands."""
