"""What is watched runs as on a user's machine, not as in a build."""

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
"""Variables by which ONNX Runtime 1.31 knows a build machine, from where it reports nothing (read in its library)."""


@pytest.fixture(scope="module", autouse=True)
def _on_a_users_machine() -> Iterator[None]:
    """A library that is quiet in builds alone would pass here, and report from every user's machine. Coverage of what
    is started would write files of its own, as the guard would rightly say.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name in BUILDS or name.startswith("COV")]:
            patch.delenv(name)
        yield
