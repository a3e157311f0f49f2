"""The Common Expression Language: text -> Expr; evaluate(Expr, environment). Knows nothing of who asks."""
