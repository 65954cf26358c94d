"""What endpoints collected: read back, joined, and written as one table."""
