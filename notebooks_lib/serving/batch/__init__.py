"""Score whole tables, in mini-batches of bounded size."""
