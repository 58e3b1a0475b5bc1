"""A Session that joins the tensors of several callers into one inference. For GPUs; on a CPU it gains nothing.

It opens several sessions because ONNX Runtime's CUDA provider caches the plan of a convolution for the last shape only
and makes a new one, layer by layer, for any other shape. Others measured 17 ms instead of 5 ms where two shapes
alternated, and 142 ms with the provider's default search (H200, ONNX Runtime 1.29,
github.com/sgl-project/sglang-omni/pull/2176). Batches have any number of rows, and a job passes tensors of several
sizes to the detector. So a batch is padded to the next power of two, and each resulting shape has a session of its own
that never sees another.
"""

from collections.abc import Callable, Sequence

import numpy as np

from worker.vision.batching import Batcher
from worker.vision.session import Images, Session, Tensor

Shape = tuple[int, ...]


class BatchedSession:
    """A Session for concurrent use by several threads."""

    def __init__(
        self,
        open_session: Callable[[], Session],
        shapes: Sequence[Shape],
        size: int,
        wait_s: float,
        called: Callable[[int], None] = lambda _: None,
    ) -> None:
        """open_session: called for each shape and row count, and once more for all shapes not listed; its sessions'
        outputs must have a row for each row of the tensor, and share no memory with it. shapes: of one row. size,
        wait_s: see Batcher, in rows. called: called with the rows of each inference, without padding.
        """
        self._counts = row_counts(size)
        self._sessions = {(rows, *shape): open_session() for shape in shapes for rows in self._counts}
        self._others = open_session()
        self._buffers: dict[Shape, Images] = {}
        self._called = called
        self._batcher = Batcher(self._call, size, wait_s)

    def run(self, images: Images) -> dict[str, Tensor]:
        """Return the outputs by name. More images than `size` take several inferences.

        Raises what the session raised for these images alone, and Unavailable after close.
        """
        size = self._counts[-1]
        parts = [images[start : start + size] for start in range(0, max(1, len(images)), size)]
        outputs = [self._batcher.do(part, part.shape[1:], len(part)) for part in parts]
        if len(outputs) == 1:
            return outputs[0]
        return {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}

    def announce(self) -> None:
        """Announce that the calling thread is about to call run."""
        self._batcher.announce()

    def withdraw(self) -> None:
        """Withdraw the announcement of the calling thread."""
        self._batcher.withdraw()

    def close(self) -> None:
        """Refuse new calls, and return once the waiting ones are answered."""
        self._batcher.close()

    def try_out(self) -> None:
        """Run each session of a listed shape once, on zeros. Raises what it raises.

        The first inference on a GPU takes long, and shows whether its libraries and memory suffice.
        """
        for shape, session in self._sessions.items():
            session.run(np.zeros(shape, np.uint8))

    def _call(self, tensors: Sequence[Images]) -> list[dict[str, Tensor]]:
        """Return the outputs of each tensor. tensors: equal in shape but for their rows, at most `size` rows in all."""
        ends = np.cumsum([len(tensor) for tensor in tensors]).tolist()
        self._called(ends[-1])
        shape = (next(rows for rows in self._counts if rows >= ends[-1]), *tensors[0].shape[1:])
        if shape in self._sessions:
            joined = self._filled_up(tensors, shape)
            outputs = self._sessions[shape].run(joined)
        else:
            joined = np.concatenate(tensors)
            outputs = self._others.run(joined)
        for name, output in outputs.items():
            if output.shape[:1] != joined.shape[:1]:
                raise ValueError(f"output {name} has shape {output.shape} where {len(joined)} rows are needed")
        return [
            {name: output[end - len(tensor) : end] for name, output in outputs.items()}
            for tensor, end in zip(tensors, ends, strict=True)
        ]

    def _filled_up(self, tensors: Sequence[Images], shape: Shape) -> Images:
        """Return one tensor of that shape: the given ones, then zeros."""
        if tensors[0].shape == shape:
            return tensors[0]
        # Only one inference runs at a time, so the buffer is free. New memory is slower: 6.3 instead of 3.7 ms for 8
        # images of 640 x 640.
        if shape not in self._buffers:
            self._buffers[shape] = np.empty(shape, tensors[0].dtype)
        buffer = self._buffers[shape]
        start = 0
        for tensor in tensors:
            buffer[start : start + len(tensor)] = tensor
            start += len(tensor)
        # Zeros, not the rows of an earlier batch: a poisoned one would come back.
        buffer[start:] = 0
        return buffer


def row_counts(size: int) -> list[int]:
    """Return the powers of two below size, and size itself. size: at least 1."""
    return [2**power for power in range(size.bit_length()) if 2**power < size] + [size]
