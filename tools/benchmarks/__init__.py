"""How long a pair takes on this machine, what the network does in that time, and a peer beside."""
