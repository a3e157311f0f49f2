"""Falco's condition language: text -> tree -> a function. Knows no fields: what a name means is handed in."""
