"""What a request to http.send may look like: the names of its parameters, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

from fairlead.tongues.rego.values import Set, show, unbox

from .kinds import OperandError, an_object

_REQUIRED = ("method", "url")
_ALLOWED = {
    "body", "cache", "cache_ignored_headers", "caching_mode", "enable_redirect", "force_cache",
    "force_cache_duration_seconds", "force_json_decode", "force_yaml_decode", "headers", "max_retry_attempts", "method",
    "raise_error", "raw_body", "timeout", "tls_ca_cert", "tls_ca_cert_env_variable", "tls_ca_cert_file", "tls_client_cert",
    "tls_client_cert_env_variable", "tls_client_cert_file", "tls_client_key", "tls_client_key_env_variable",
    "tls_client_key_file", "tls_insecure_skip_verify", "tls_server_name", "tls_use_system_certs", "url",
}  # fmt: skip


def listed(names: list[Any]) -> str:
    """Return names as OPA lists them."""
    return show(Set(names))


def checked(request: Any) -> dict[Any, Any]:
    """Return the operand, which must be an object with the parameters of a request and no others."""
    asked = an_object(request, 1)
    strange = [unbox(name) for name in asked if name not in _ALLOWED]
    if strange:
        raise OperandError(f"operand 1 invalid request parameters(s): {listed(strange)}")
    missing = [name for name in _REQUIRED if name not in asked]
    if missing:
        raise OperandError(f"operand 1 missing required request parameters(s): {listed(missing)}")
    return asked
