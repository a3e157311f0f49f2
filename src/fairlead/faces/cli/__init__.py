"""The command line: verbs named after the engines. It parses, asks and prints; it decides nothing."""
