"""JSON Patch (RFC 6902): operations on a document. Knows nothing of who patches."""
