"""Importing the catalogue and identities of models is cheap: commands and the store do, and run no model."""

import subprocess
import sys

import pytest

HEAVY = ("cv2", "numpy", "onnx", "onnxruntime", "simplejpeg")


@pytest.mark.parametrize("name", ["calibration", "catalog", "custom", "fetch", "files", "identity", "ranges"])
def test_a_module_of_the_models_loads_no_heavy_library(name: str) -> None:
    code = f"import sys, worker.models.{name}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
