"""The admission webhook: judges the requests of a real Kubernetes by the same policies as the embedded control plane."""
