"""The metrics of several gateway processes as one text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.monitoring.scrape import _is_away, _Labelled, joined


def told(number: int, count: int) -> str:
    """Return the metrics of a process that has counted that many."""
    registry = CollectorRegistry()
    Gauge("temperature", "Degrees.\nAnd # HELP no more.", registry=registry).set(number)
    counter = Counter("answers", "Answers.", ["status"], registry=registry)
    histogram = Histogram("seconds", "Time.", registry=registry, buckets=(1, 2))
    for _ in range(count):
        counter.labels("OK").inc()
        histogram.observe(1.5)
    return generate_latest(_Labelled(registry, number)).decode()


def test_each_metric_is_there_once_with_the_series_of_all_processes() -> None:
    families = list(text_string_to_metric_families(joined([told(1, 3), told(2, 5)])))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    values = {
        (sample.name, sample.labels["process"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name in {"answers_total", "seconds_count", "temperature"}
    }
    assert values == {
        ("answers_total", "1"): 3,
        ("answers_total", "2"): 5,
        ("seconds_count", "1"): 3,
        ("seconds_count", "2"): 5,
        ("temperature", "1"): 1,
        ("temperature", "2"): 2,
    }


def test_nothing_is_lost_of_one_text() -> None:
    text = told(1, 3)
    assert joined([text]) == text


def test_a_process_that_does_not_answer_is_told_to_be_away() -> None:
    text = "# HELP facesearch_gateway_process_up Whether this process of the gateway tells its metrics.\n"
    assert _is_away(2) == (
        f'{text}# TYPE facesearch_gateway_process_up gauge\nfacesearch_gateway_process_up{{process="2"}} 0.0\n'
    )
