"""Benches: a pair on this machine, the network beside a peer, denoisers, load, a board."""
