"""The metrics are Prometheus text that adds up."""

from __future__ import annotations

from fairlead.faces.kube.metrics import Metrics


def test_counts_and_buckets() -> None:
    metrics = Metrics()
    tags = {"verb": "GET", "group": "apps", "resource": "deployments"}
    metrics.count(tags, 200, 0.0005)
    metrics.count(tags, 200, 0.3)
    metrics.count({"verb": "WATCH", "group": "", "resource": "pods"}, 200, None)
    metrics.watches["", "pods"] += 1
    text = metrics.text({"objects": ("How many.", 3)})
    assert 'apiserver_request_total{verb="GET",group="apps",resource="deployments",code="200"} 2' in text
    assert 'apiserver_request_duration_seconds_bucket{verb="GET",le="0.001"} 1' in text
    assert 'apiserver_request_duration_seconds_bucket{verb="GET",le="0.5"} 2' in text
    assert 'apiserver_request_duration_seconds_bucket{verb="GET",le="+Inf"} 2' in text
    assert 'apiserver_request_duration_seconds_count{verb="GET"} 2' in text
    assert 'apiserver_request_duration_seconds_count{verb="WATCH"}' not in text
    assert 'apiserver_longrunning_requests{verb="WATCH",group="",resource="pods"} 1' in text
    assert "# HELP objects How many.\n# TYPE objects gauge\nobjects 3\n" in text


def test_label_values_are_escaped() -> None:
    metrics = Metrics()
    metrics.count({"verb": 'a"b\\c\nd'}, 200, None)
    assert 'verb="a\\"b\\\\c\\nd"' in metrics.text({})
