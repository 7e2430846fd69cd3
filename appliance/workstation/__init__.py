"""Client side: post a pair, or post what appears in a hot folder."""
