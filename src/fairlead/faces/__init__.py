"""Speaks protocols to people and programs."""
