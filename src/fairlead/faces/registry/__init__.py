"""The registry that the platform serves: OCI's distribution specification 1.1 over drivers/blobs, for modules and for images.

Speaks the protocol and says who may; keeps nothing itself.
"""
