"""Kyverno's patterns: documents that look like what they want."""
def operator_of(text: str) -> str: return ""
def matches(value: object, pattern: str) -> bool: return False
