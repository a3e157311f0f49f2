"""Carries out what policies propose beyond a request: objects generated, kept alike, cleaned up, changed where they are."""
