"""Which fields Kyverno's documents may have: what is not in these tables becomes a finding with its path.

Tables only; what a field means is with the module that compiles it.
Source: kyverno/kyverno api/kyverno/v1, v2beta1 and v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from fairlead.words import Page

Fields: TypeAlias = "Mapping[str, Any]"
"""Field -> what is below it: None for anything, a table for a mapping, a list with one table for a list of mappings."""

_METADATA: Fields = {"metadata": None}

_SELECTOR: Fields = {
    "matchLabels": None,
    "matchExpressions": [{"key": None, "operator": None, "values": None}],
}
_RESOURCES: Fields = {
    "kinds": None,
    "name": None,
    "names": None,
    "namespaces": None,
    "annotations": None,
    "selector": _SELECTOR,
    "namespaceSelector": _SELECTOR,
    "operations": None,
}
_FILTER: Fields = {
    "resources": _RESOURCES,
    "subjects": [{"kind": None, "name": None, "namespace": None, "apiGroup": None}],
    "roles": None,
    "clusterRoles": None,
}
MATCH: Final[Fields] = {**_FILTER, "any": [_FILTER], "all": [_FILTER]}

_PAIRS: Fields = {"key": None, "value": None}
_SERVICE: Fields = {"url": None, "caBundle": None, "headers": [_PAIRS]}
_CALL: Fields = {
    "urlPath": None,
    "method": None,
    "data": [_PAIRS],
    "service": _SERVICE,
    "jmesPath": None,
    "default": None,
}
CONTEXT: Final[Fields] = {
    "name": None,
    "variable": {"jmesPath": None, "value": None, "default": None},
    "configMap": {"name": None, "namespace": None},
    "apiCall": _CALL,
    "imageRegistry": {"reference": None, "jmesPath": None, "imageRegistryCredentials": None},
    "globalReference": {"name": None, "jmesPath": None},
}

_ACTIONS: Fields = {"action": None, "namespaces": None, "namespaceSelector": _SELECTOR}
_CEL_PAIR: Fields = {"name": None, "expression": None}
_CEL: Fields = {
    "expressions": [{"expression": None, "message": None, "messageExpression": None, "reason": None}],
    "auditAnnotations": [{"key": None, "valueExpression": None}],
    "paramKind": {"apiVersion": None, "kind": None},
    "paramRef": {"name": None, "namespace": None, "selector": _SELECTOR, "parameterNotFoundAction": None},
    "variables": [_CEL_PAIR],
    "generate": None,
}
_EXCLUSION: Fields = {"controlName": None, "images": None, "restrictedField": None, "values": None}
_LOOP: dict[str, Any] = {
    "list": None,
    "elementScope": None,
    "context": [CONTEXT],
    "preconditions": None,
    "pattern": None,
    "anyPattern": None,
    "deny": {"conditions": None},
}
_LOOP["foreach"] = [_LOOP]
_VALIDATE: Fields = {
    "failureAction": None,
    "failureActionOverrides": [_ACTIONS],
    "allowExistingViolations": None,
    "message": None,
    "pattern": None,
    "anyPattern": None,
    "deny": {"conditions": None},
    "foreach": [_LOOP],
    "podSecurity": {"level": None, "version": None, "exclude": [_EXCLUSION]},
    "cel": _CEL,
    "assert": None,
    "manifests": None,
}
_PATCHES: dict[str, Any] = {
    "list": None,
    "order": None,
    "context": [CONTEXT],
    "preconditions": None,
    "patchStrategicMerge": None,
    "patchesJson6902": None,
}
_PATCHES["foreach"] = [_PATCHES]
_TARGET: Fields = {
    "apiVersion": None,
    "kind": None,
    "namespace": None,
    "name": None,
    "uid": None,
    "selector": _SELECTOR,
    "context": [CONTEXT],
    "preconditions": None,
}
_MUTATE: Fields = {
    "mutateExistingOnPolicyUpdate": None,
    "targets": [_TARGET],
    "patchStrategicMerge": None,
    "patchesJson6902": None,
    "foreach": [_PATCHES],
}
_DOWNSTREAM: Fields = {
    "apiVersion": None,
    "kind": None,
    "namespace": None,
    "name": None,
    "uid": None,
    "data": None,
    "clone": {"namespace": None, "name": None},
    "cloneList": {"namespace": None, "kinds": None, "selector": _SELECTOR},
}
_GENERATE: Fields = {
    **_DOWNSTREAM,
    "generateExisting": None,
    "synchronize": None,
    "orphanDownstreamOnPolicyDelete": None,
    "foreach": [{**_DOWNSTREAM, "list": None, "context": [CONTEXT], "preconditions": None}],
}
_RULE: Fields = {
    "name": None,
    "context": [CONTEXT],
    "match": MATCH,
    "exclude": MATCH,
    "imageExtractors": None,
    "preconditions": None,
    "celPreconditions": [_CEL_PAIR],
    "mutate": _MUTATE,
    "validate": _VALIDATE,
    "generate": _GENERATE,
    "verifyImages": None,
    "skipBackgroundRequests": None,
    "reportProperties": None,
}
_WEBHOOK: Fields = {"failurePolicy": None, "timeoutSeconds": None, "matchConditions": [_CEL_PAIR]}

POLICY: Final[Fields] = {
    **_METADATA,
    "spec": {
        "rules": [_RULE],
        "applyRules": None,
        "failurePolicy": None,
        "validationFailureAction": None,
        "validationFailureActionOverrides": [_ACTIONS],
        "emitWarning": None,
        "admission": None,
        "background": None,
        "schemaValidation": None,
        "webhookTimeoutSeconds": None,
        "mutateExistingOnPolicyUpdate": None,
        "generateExistingOnPolicyUpdate": None,
        "generateExisting": None,
        "useServerSideApply": None,
        "webhookConfiguration": _WEBHOOK,
    },
}
"""ClusterPolicy and Policy."""

EXCEPTION: Final[Fields] = {
    **_METADATA,
    "spec": {
        "background": None,
        "match": MATCH,
        "conditions": {"any": None, "all": None},
        "exceptions": [{"policyName": None, "ruleNames": None}],
        "podSecurity": [_EXCLUSION],
    },
}
"""PolicyException."""

GLOBAL_ENTRY: Final[Fields] = {
    **_METADATA,
    "spec": {
        "kubernetesResource": {"group": None, "version": None, "resource": None, "namespace": None},
        "apiCall": {**_CALL, "refreshInterval": None, "retryLimit": None},
        "projections": [{"name": None, "jmesPath": None}],
    },
}
"""GlobalContextEntry."""


def take(page: Page, fields: Fields) -> None:
    """Take what the table knows from a document; what is left is for `unsupported` to report."""
    for name, below in fields.items():
        if below is None:
            page.take(name)
        elif isinstance(below, list):
            value = page.pages(name)
            for one in value:
                take(one, below[0])
        else:
            take(page.page(name), below)
