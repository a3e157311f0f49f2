"""The webhook server: answers a Kubernetes API server's AdmissionReviews by the policies of any format."""
