"""How the ranks of a worker find each other and add up their numbers."""
