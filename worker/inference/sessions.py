"""The sessions of one model on a GPU, one for each shape and number of images.

ONNX Runtime's CUDA provider caches the plan of a convolution for the last shape only and makes a new one, layer by
layer, for any other shape. Others measured 17 ms instead of 5 ms where two shapes alternated, and 142 ms with the
provider's default search (H200, ONNX Runtime 1.29, github.com/sgl-project/sglang-omni/pull/2176). A CUDA graph has one
shape for good. Batches have any number of images. So a batch is padded to the next power of two, and each resulting
shape that is usual has a session of its own; any other size of images has one that takes any number of them.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from worker.vision.session import Images, Session, Tensor

MOST_OTHERS: Final = 16
"""Sessions for sizes that are not usual; the one that was used least recently is closed for another one."""

Size = tuple[int, int]


class OpenSession(Protocol):
    """Opens sessions of one model."""

    def __call__(self, size: Size, rows: int | None) -> Session:
        """Return a session for images of that size, height and width, and always that many of them; for any number if
        rows is None.
        """


class Sessions:
    """The sessions of one model. Images of different sizes may be run at the same time, those of one size may not."""

    def __init__(
        self,
        open_session: OpenSession,
        usual: Sequence[Size],
        size: int,
        shortened: Callable[[Tensor], Tensor] = lambda output: output,
    ) -> None:
        """usual: sizes that get sessions now, and are the fastest. size: most images of an inference. shortened:
        returns what callers need of the output of one or more images. Sessions have one output, with a row for each
        image.
        """
        self._open = open_session
        self._counts = row_counts(size)
        self._usual = {(rows, *each): open_session(each, rows) for each in usual for rows in self._counts}
        self._others: OrderedDict[Size, Session] = OrderedDict()
        self._opening = threading.Lock()
        self._buffers = {(rows, *each): np.zeros((rows, *each, 3), np.uint8) for rows, *each in self._usual}
        self._shortened = shortened

    def try_out(self) -> None:
        """Run each session of a usual size once, on zeros. Raises what it raises.

        The first inference on a GPU takes long, and shows whether its libraries and memory suffice.
        """
        for shape, session in self._usual.items():
            session.run(self._buffers[shape])

    def run(self, requests: Sequence[Images]) -> list[Tensor]:
        """Return the output of each request, in memory that no later call changes. requests: equal in shape but for
        their rows; more than `size` images take several inferences.
        """
        most = self._counts[-1]
        rows = sum(map(len, requests))
        if rows <= most:
            output = self._run(requests, rows)
        else:
            images = np.concatenate(requests)
            parts = [images[start : start + most] for start in range(0, rows, most)]
            output = np.concatenate([self._run([part], len(part)) for part in parts])
        ends = np.cumsum([len(request) for request in requests]).tolist()
        return [self._shortened(output[end - len(request) : end]) for request, end in zip(requests, ends, strict=True)]

    def _run(self, requests: Sequence[Images], rows: int) -> Tensor:
        height, width = requests[0].shape[1:3]
        shape = (next(count for count in self._counts if count >= rows), height, width)
        if shape in self._usual:
            session, images = self._usual[shape], self._filled_up(requests, shape)
        else:
            session, images = self._other((height, width)), np.concatenate(requests)
        (output,) = session.run(images).values()
        if output.shape[:1] != images.shape[:1]:
            raise ValueError(f"the output has shape {output.shape} where {len(images)} rows are needed")
        return output[:rows]

    def _filled_up(self, requests: Sequence[Images], shape: tuple[int, int, int]) -> Images:
        """Return the images of all requests, then black ones."""
        if len(requests[0]) == shape[0]:
            return requests[0]
        # Images of one size are run one batch at a time, so the buffer is free. New memory is slower: 6.3 instead of
        # 3.7 ms for 8 images of 640 x 640 in fp32.
        buffer, start = self._buffers[shape], 0
        for request in requests:
            buffer[start : start + len(request)] = request
            start += len(request)
        # Black, not the images of an earlier batch: a poisoned one would come back.
        buffer[start:] = 0
        return buffer

    def _other(self, size: Size) -> Session:
        with self._opening:
            session = self._others.pop(size, None) or self._open(size, None)
            self._others[size] = session
            if len(self._others) > MOST_OTHERS:
                self._others.popitem(last=False)
            return session


def row_counts(size: int) -> list[int]:
    """Return the powers of two below size, and size itself. size: at least 1."""
    return [2**power for power in range(size.bit_length()) if 2**power < size] + [size]
