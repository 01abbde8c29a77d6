"""The gateway: the HTTP side of a node, as thin as it can be.

Two listeners in one process and one event loop: `sync` for peers, `local` for the board
application. Nothing here blocks the loop: whatever computes or asks a service runs in a small,
bounded set of threads, and no thread waits for a worker's answer.
"""
