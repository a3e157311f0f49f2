"""JMESPath with the functions that Kyverno added: text -> Expr; evaluate(Expr, data). Knows nothing of policies."""
