"""The store in SQLite (the default) or PostgreSQL, and the migrations that make its tables.

`store` and `migrate` are imported by themselves: only who migrates loads Alembic, which would cost
every process of a node 12 MB.
"""
