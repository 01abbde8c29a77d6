"""Fuzzing: what strangers send, made by a machine that watches which code it reaches.

`python -m tests.fuzz` runs it. A target is a function of bytes that raises whatever is not meant
to happen; the tests replay every kept input through it without a fuzzer.
"""
