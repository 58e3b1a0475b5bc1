"""Receiving as many bytes of a stream as a message announced."""

import socket


def receive_into(connection: socket.socket, buffer: bytearray | memoryview) -> bool:
    """Fill the buffer from a stream socket, and return whether it is full: it is not if the other end was closed or
    reset before. The timeout of the socket is that of each part that arrives.
    """
    view, filled = memoryview(buffer), 0
    while filled < len(view):
        try:
            # Without the flag an image arrives in dozens of pieces, each a call of its own.
            count = connection.recv_into(view[filled:], 0, socket.MSG_WAITALL)
        except ConnectionResetError:
            count = 0
        if not count:
            return False
        filled += count
    return True
