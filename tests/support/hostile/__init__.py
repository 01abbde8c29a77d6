"""Hostile inputs by kind, each with the answer it must get, and the means to send them."""
