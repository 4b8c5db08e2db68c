"""What must not change for users and their scripts: as text, and as stored runs."""
