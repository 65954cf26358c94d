"""The command line: one module a command; each parses, calls one public function and prints."""
