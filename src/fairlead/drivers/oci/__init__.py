"""Registries and local layouts that hold artifacts: find, push and pull by name and digest, with nobody trusted for the bytes.

`references` names things, `stores` says what every store can do, `clients` talks to registries, `layouts` reads and writes folders,
`credentials` knows who is asking, and `artifacts` turns files into manifests and back. What is signed by whom is not decided here.
Sources: the OCI distribution, image and image-layout specifications, 1.1.
"""
