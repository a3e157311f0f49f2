"""Formats that users already own: a foreign document in, an engine's model out, results back in the format's words.

One module a format: plain functions and the tables READS and WRITES. A dialect knows no other dialect and never
raises over a document's content.
"""
