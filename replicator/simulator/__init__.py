"""A pool of nodes in one process, on virtual time, with faults drawn from a seed.

The real use cases run over the in-memory twins. Every task is a fiber: exactly one runs at a time,
and it gives way at every call to a peer and, now and then, at any call of a port. The scheduler
picks what happens next by virtual time and then by the seed, so a seed that fails replays exactly.
Monitors watch the ports of all nodes while they run; mutants are planted bugs that they must find.
Nothing here touches a network, a clock or a file.

Reading order: `plan` (what a seed draws), `world` (the run), `machine`, `process`, `network`,
`broker`, `faults`, `liars`, `monitors`, `mutants`, `command`.
"""
