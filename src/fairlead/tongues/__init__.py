"""Expression languages: text -> Expr; evaluate(Expr, environment).

One module a language. A tongue knows no engine and no other tongue.
"""
