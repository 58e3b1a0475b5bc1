"""The tests run guarded processes as on a user's machine, not as in a build."""

import os
from collections.abc import Iterator

import pytest

BUILDS = (
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "CIRCLECI",
    "TRAVIS",
    "JENKINS_URL",
    "CODEBUILD_BUILD_ID",
    "BUILDKITE",
    "TEAMCITY_VERSION",
    "APPVEYOR",
    "BITBUCKET_BUILD_NUMBER",
)
"""Variables by which ONNX Runtime 1.31 recognises a build machine, on which it reports nothing (read in its
library).
"""


@pytest.fixture(scope="module", autouse=True)
def _on_a_users_machine() -> Iterator[None]:
    """Unset the variables of build machines: a library that reports nothing in builds would pass here, and report from
    every user's machine. Coverage of child processes would write files of its own, which the guard would rightly
    report.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name in BUILDS or name.startswith("COV")]:
            patch.delenv(name)
        yield
