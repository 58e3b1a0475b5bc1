"""A worker as one with a GPU, whose inference process runs the models on the CPU: `python -m faults.cpu_for_gpu`."""

from dataclasses import replace
from typing import Any

from worker import __main__, runtime
from worker.inference.plan import Plan


def plan_for_the_cpu(*fields: Any) -> Plan:
    """Return the plan with those fields, but for its device."""
    return replace(Plan(*fields), device="cpu")


if __name__ == "__main__":
    runtime.Plan = plan_for_the_cpu
    __main__.main()
