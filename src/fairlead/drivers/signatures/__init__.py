"""Signatures of artifacts: made, attached, found and verified, with keys or with short-lived certificates, offline.

`keys` and `boxes` read keys; `roots` say who is trusted; `bundles` and `attachments` find what claims to be a signature, `certificates`,
`logs`, `timestamps` and `promises` each check one sort of proof, and `verifying` decides. Nothing that was found is believed before
`verifying` said so, and whatever is not understood counts against a signature, never for it.
"""
