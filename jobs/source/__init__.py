"""Where the next trial comes from."""
