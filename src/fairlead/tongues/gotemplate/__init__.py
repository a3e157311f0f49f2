"""Go's text/template with the functions of Sprig and Helm: a text is compiled once, into Python functions."""
