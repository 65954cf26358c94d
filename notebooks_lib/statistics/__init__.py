"""Paired intervals for the gain of one model over another on the same rows. Pure: numbers in, numbers out."""
