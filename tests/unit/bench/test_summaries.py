"""How figures of many requests and rounds are summed up."""

from hypothesis import given
from hypothesis import strategies as st
from summaries import added, last_line, latencies, medians


def test_latencies_are_in_milliseconds() -> None:
    assert latencies([0.001, 0.002, 0.003]) == {"p50_ms": 2.0, "p95_ms": 2.9, "p99_ms": 2.98}
    assert latencies([]) == {"p50_ms": 0.0, "p95_ms": 0.0, "p99_ms": 0.0}


def test_rounds_are_merged_by_the_median_of_each_figure() -> None:
    rounds = [
        {"call": "searchface", "callers": 8, "p50_ms": 3.0, "cpu_ms": {"worker": 20.0}, "answers": {"OK": 9}},
        {
            "call": "searchface",
            "callers": 8,
            "p50_ms": 1.0,
            "cpu_ms": {"worker": 40.0},
            "answers": {"OK": 7, "FAIL": 1},
        },
        {"call": "searchface", "callers": 8, "p50_ms": 2.0, "cpu_ms": {"worker": 30.0}, "answers": {"OK": 8}},
    ]
    assert medians(rounds) == {
        "call": "searchface",
        "callers": 8,
        "p50_ms": 2.0,
        "cpu_ms": {"worker": 30.0},
        "answers": {"OK": 24, "FAIL": 1},
    }


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), max_size=5))
def test_added_counts_have_the_total_of_all_counts(counts: list[dict[str, int]]) -> None:
    total = added(counts)
    assert sum(total.values()) == sum(sum(count.values()) for count in counts)


def test_the_last_line_is_about_searches_with_small_photos() -> None:
    def load(callers: int, call: str = "searchface", photos: str = "small", **found: float) -> dict[str, object]:
        return {"call": call, "photos": photos, "callers": callers, **found}

    loads = [
        load(8, call="addface", efficiency=0.1, per_second=10.0),
        load(1, efficiency=0.8, per_second=40.0, p50_overhead_ms=4.06),
        load(8, efficiency=0.866, per_second=75.6),
        load(8, photos="12mp", efficiency=0.2, per_second=20.0),
    ]
    pipeline = {"against_naive": {"small": {"naive_ratio": 2.44}, "12mp": {"naive_ratio": 3.0}}}
    assert last_line(pipeline, loads) == "efficiency=0.87 floor_gain=2.4 p50_overhead_ms=4.1 search_rps_c8=76"
