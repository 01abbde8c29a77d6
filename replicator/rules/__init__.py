"""Pure decisions: who is trusted, what is allowed, when to try again. No I/O, no clock."""
