"""What a pull request changes in notebooks, and what that does to their numbers."""
