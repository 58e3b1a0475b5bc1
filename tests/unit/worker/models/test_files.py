"""The models folder, with a tiny real graph; functions stand in for sources."""

import hashlib
import threading
from dataclasses import replace

import onnx
import pytest
from onnx import TensorProto, helper

from model_chains import embedder
from shared.errors import OperatorError
from worker.models import files
from worker.models.catalog import Embedder, UrlSource
from worker.models.fetch import FetchError, UnreachableError
from worker.models.files import is_ready, prepared_path, pull
from worker.vision.session import open_session

FIRST, SECOND = UrlSource("https://first.test/m.onnx"), UrlSource("https://second.test/m.onnx")


def graph_bytes() -> bytes:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "tiny",
        [info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


DATA = graph_bytes()
MODEL = Embedder(
    name="tiny",
    file="tiny.onnx",
    sha256=hashlib.sha256(DATA).hexdigest(),
    size=len(DATA),
    sources=(FIRST, SECOND),
    licence="MIT",
    commercial=True,
    dimension=192,
)


class Network:
    """Answers each source with bytes or an error, and records the calls."""

    def __init__(self, answers):
        self.answers = answers
        self.calls = []
        self.lines = []

    def fetch(self, source, part, _size, _say):
        self.calls.append(source)
        answer = self.answers[source]
        if isinstance(answer, FetchError):
            raise answer
        part.write_bytes(answer)

    def pull(self, folder, model=MODEL):
        return pull(model, folder, self.lines.append, fetch=self.fetch)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_pull_fetches_verifies_prepares_and_keeps(folder):
    network = Network({FIRST: DATA})
    path = network.pull(folder)
    assert open_session(path)
    assert path == prepared_path(MODEL, folder)
    assert is_ready(MODEL, folder)
    stem = f"{MODEL.sha256[:16]}-tiny"
    graph = f"{stem}.rgb_0.0_1.0.prepared-v{files.PREPARATION_VERSION}.onnx"
    assert names(folder) == [f"{stem}.onnx", graph, f"{graph}.sha256"]
    assert (folder / f"{graph}.sha256").read_text() == f"{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
    assert network.pull(folder) == path
    assert network.calls == [FIRST]


def test_the_next_source_is_tried_after_an_error(folder):
    network = Network({FIRST: FetchError("HTTP 404"), SECOND: DATA})
    network.pull(folder)
    assert network.calls == [FIRST, SECOND]
    assert "https://first.test/m.onnx: HTTP 404" in network.lines


def test_wrong_bytes_are_reported_and_never_kept(folder):
    network = Network({FIRST: b"something else", SECOND: FetchError("no route")})
    with pytest.raises(OperatorError) as caught:
        network.pull(folder)
    text = str(caught.value)
    for part in (
        FIRST.url,
        hashlib.sha256(b"something else").hexdigest(),
        MODEL.sha256,
        f"{SECOND.url}: no route",
        "tiny.onnx",
        str(folder),
        "`facesearch models pull`",
    ):
        assert part in text
    assert "\n" not in text
    assert names(folder) == []
    assert not is_ready(MODEL, folder)


def test_without_a_network_one_line_names_the_sources_and_the_remedy(folder):
    nowhere = {source: UnreachableError(f"{source.url[8:13]}.test", "no name") for source in (FIRST, SECOND)}
    with pytest.raises(OperatorError) as caught:
        Network(nowhere).pull(folder)
    assert str(caught.value) == (
        "cannot get the model tiny: from here none of first.test, secon.test can be reached; without network, run "
        "`facesearch models pull` on a machine that has one and copy its models folder, which `facesearch models list` "
        f"names, to {folder}, or put tiny.onnx with sha256 {MODEL.sha256} there"
    )


def test_an_unreachable_source_beside_another_error_is_no_missing_network(folder):
    answers = {FIRST: UnreachableError("first.test", "no name"), SECOND: FetchError("HTTP 404")}
    with pytest.raises(OperatorError, match=r"first.test cannot be reached \(no name\); .*HTTP 404"):
        Network(answers).pull(folder)


def test_a_part_with_a_wrong_beginning_is_fetched_again(folder):
    folder.mkdir()
    part = folder / f"{MODEL.sha256[:16]}-tiny.onnx.part"
    part.write_bytes(b"wrong")

    def resuming(_source, part, _size, _say):
        have = part.read_bytes() if part.exists() else b""
        part.write_bytes(have + DATA[len(have) :])

    assert pull(MODEL, folder, print, fetch=resuming).is_file()
    assert not part.exists()


def test_an_interrupted_part_is_kept_for_the_next_attempt(folder):
    def cut(_source, part, _size, _say):
        part.write_bytes(DATA[:10])
        raise FetchError("cut")

    with pytest.raises(OperatorError, match="cut"):
        pull(replace(MODEL, sources=(FIRST,)), folder, print, fetch=cut)
    assert names(folder) == [f"{MODEL.sha256[:16]}-tiny.onnx.part"]


@pytest.mark.parametrize("name", ["tiny.onnx", f"{MODEL.sha256[:16]}-tiny.onnx"])
def test_an_original_in_the_folder_needs_no_network(folder, name):
    folder.mkdir()
    (folder / name).write_bytes(DATA)
    network = Network({})
    assert network.pull(folder, replace(MODEL, sources=())).is_file()
    assert network.calls == []


def test_a_damaged_original_is_fetched_again(folder):
    folder.mkdir()
    (folder / f"{MODEL.sha256[:16]}-tiny.onnx").write_bytes(b"rotten")
    network = Network({FIRST: DATA})
    network.pull(folder)
    assert network.calls == [FIRST]
    assert (folder / f"{MODEL.sha256[:16]}-tiny.onnx").read_bytes() == DATA


def test_an_original_with_another_digest_is_named_and_kept(folder):
    folder.mkdir()
    (folder / "tiny.onnx").write_bytes(b"another")
    with pytest.raises(
        OperatorError, match=f"tiny.onnx in the folder has sha256 {hashlib.sha256(b'another').hexdigest()}"
    ):
        pull(replace(MODEL, sources=()), folder, print)
    assert (folder / "tiny.onnx").read_bytes() == b"another"


def test_a_model_without_sources_is_refused_with_the_reason(folder):
    with pytest.raises(OperatorError, match="it has no automatic source"):
        pull(replace(MODEL, sources=()), folder, print)


def test_another_preparation_version_prepares_again_without_fetching(folder, monkeypatch):
    network = Network({FIRST: DATA})
    old = network.pull(folder)
    monkeypatch.setattr(files, "PREPARATION_VERSION", 999)
    assert not is_ready(MODEL, folder)
    assert network.pull(folder) != old
    assert network.calls == [FIRST]


def test_the_original_is_fetched_once_for_fp32_and_8_bits(folder):
    original = embedder(1)
    data = original.SerializeToString()
    floats = Embedder(
        name="floats",
        file="tiny.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        sources=(FIRST,),
        licence="MIT",
        commercial=True,
        dimension=5,
    )
    eight_bits = replace(floats, name="bytes", ranges=((-1.0, 1.0),) * 4)
    network = Network({FIRST: data})
    first = network.pull(folder, floats)
    assert not is_ready(eight_bits, folder)
    second = network.pull(folder, eight_bits)
    assert network.calls == [FIRST]
    assert (prepared_path(floats, folder), prepared_path(eight_bits, folder)) == (first, second)
    assert f".int8-v{files.INT8_VERSION}.prepared-v{files.PREPARATION_VERSION}.onnx" in second.name
    assert second.stat().st_size != first.stat().st_size
    assert open_session(second)


def test_another_int8_version_leaves_fp32_models_prepared(folder, monkeypatch):
    network = Network({FIRST: DATA})
    network.pull(folder)
    monkeypatch.setattr(files, "INT8_VERSION", 999)
    assert is_ready(MODEL, folder)


def bytes_changed(path):
    """Change bytes as a disk might; the graph can still be loaded."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tiny")
    data[at : at + 4] = b"tinz"
    path.write_bytes(data)


def digest_removed(path):
    path.with_name(f"{path.name}.sha256").unlink()


def digest_damaged(path):
    path.with_name(f"{path.name}.sha256").write_bytes(b"\xff\x00")


@pytest.mark.parametrize("damage", [bytes_changed, digest_removed, digest_damaged])
def test_a_damaged_graph_is_refused_and_prepared_again_by_a_pull(folder, damage):
    network = Network({FIRST: DATA})
    path = network.pull(folder)
    made = path.read_bytes()
    damage(path)
    with pytest.raises(OperatorError, match=r"tiny in .* is damaged.*prepared-v.*`facesearch models pull`"):
        prepared_path(MODEL, folder)
    assert network.pull(folder) == path
    assert prepared_path(MODEL, folder).read_bytes() == made
    assert network.calls == [FIRST], "the kept original suffices"


def test_a_missing_model_names_the_command(folder):
    with pytest.raises(OperatorError, match=r"tiny is not in .*run `facesearch models pull`"):
        prepared_path(MODEL, folder)


def test_two_pulls_at_the_same_time_fetch_once(folder):
    started, calls, lines = threading.Event(), [], []

    def slow(source, part, _size, _say):
        calls.append(source)
        started.set()
        # Wait until the other pull waits for the lock.
        while not lines:
            threading.Event().wait(0.005)
        part.write_bytes(DATA)

    first = threading.Thread(target=pull, args=(MODEL, folder, print), kwargs={"fetch": slow})
    first.start()
    started.wait(10)
    path = pull(MODEL, folder, lines.append, fetch=slow)
    first.join()
    assert calls == [FIRST]
    assert lines == ["waiting for another pull into the same folder"]
    assert onnx.load_model(path)


def test_no_prepared_file_is_left_after_a_failure(folder):
    broken = b"\x08\x0a"  # a model without a graph
    model = replace(MODEL, sha256=hashlib.sha256(broken).hexdigest())
    with pytest.raises(OperatorError, match="cannot prepare"):
        pull(model, folder, print, fetch=lambda _source, part, _size, _say: part.write_bytes(broken))
    assert not any("prepared" in name for name in names(folder))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="cannot keep models in"):
        pull(MODEL, tmp_path / "file" / "models", print)
