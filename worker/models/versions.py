"""Versions of what is made of a model's file. Apart from what makes it: names of files need no graph library."""

from typing import Final

PREPARATION_VERSION: Final = 2
"""Raised when a change in prepare.py changes the prepared graph. Cached graphs of another version are not used."""

RESULT_VERSION: Final = 1
"""Raised when a change in prepare.py changes what a prepared graph gives by more than rounding, a millionth of a
vector's length. Embeddings of different versions are never compared (see identity.py)."""

INT8_VERSION: Final = 1
"""Raised when a change in prepare_int8.py, in prepare_chain.py or of the ranges changes what comes out in 8 bits.
Embeddings of different versions are never compared (see identity.py)."""
