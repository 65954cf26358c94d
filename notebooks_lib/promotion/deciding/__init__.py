"""The answer and the rules it rests on: promote, keep or undecided. Pure: figures in, a decision out."""
