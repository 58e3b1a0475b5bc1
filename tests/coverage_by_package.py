"""Print the coverage of the last test run, a line a package: `python tests/coverage_by_package.py`."""

from coverage import Coverage

coverage = Coverage()
coverage.load()
for package in ("shared", "gateway", "worker", "facesearch", "facesearch_client"):
    statements = missing = 0
    for path in coverage.get_data().measured_files():
        if f"/{package}/" in path.rpartition("/tests/")[2]:
            _, lines, _, missed, _ = coverage.analysis2(path)
            statements, missing = statements + len(lines), missing + len(missed)
    print(f"coverage {package:<17} {100 * (1 - missing / max(statements, 1)):.1f}% of {statements} statements")
