"""What follows a decision: versions, slots, traffic and marks move, and can move back."""
