"""What follows a decision: versions, slots, traffic and champion marks move, and can move back."""
