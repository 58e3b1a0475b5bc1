"""Combine the coverage of all processes and print it, a line a package: `python tests/coverage_by_package.py`."""

import sys

from coverage import Coverage

PACKAGES = ("shared", "gateway", "worker", "facesearch")


def main() -> None:
    coverage = Coverage()
    coverage.combine(keep=True) if not sys.argv[1:] else None
    coverage.load()
    for package in PACKAGES:
        statements = missing = 0
        for path in coverage.get_data().measured_files():
            if f"/{package}/" in path:
                _, lines, _, missed, _ = coverage.analysis2(path)
                statements, missing = statements + len(lines), missing + len(missed)
        print(f"coverage {package:<11} {100 * (1 - missing / max(statements, 1)):.1f}% of {statements} statements")


main()
