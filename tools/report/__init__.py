"""Report of evaluations, one HTML file for people: tables, curves, pictures, caveats."""
