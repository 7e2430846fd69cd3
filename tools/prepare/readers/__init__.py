"""One data set layout a file: each reads lazily what it finds and names what it cannot use."""
