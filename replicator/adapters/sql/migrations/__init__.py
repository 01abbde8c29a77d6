"""Alembic's environment and revisions; run by `replicator.adapters.sql.migrate`, never imported."""
