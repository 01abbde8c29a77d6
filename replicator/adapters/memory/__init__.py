"""In-memory twins of the adapters: product code, used by the simulator and by tests."""
