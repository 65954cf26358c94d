"""From runs to a decision: candidates, their evaluation on the holdout, rules, and the page that explains it."""
