"""A running box under load: how long a pair takes from post to result, and what is refused."""
