"""The Kubernetes API over HTTPS: paths, media types, streams and Status errors. What is true is decided in keep."""
