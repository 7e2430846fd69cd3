"""An evaluation as one HTML file for people: tables, curves, pictures, caveats."""
