"""Models of runs: their files, the registry, and the scorer that serving and promotion share."""
