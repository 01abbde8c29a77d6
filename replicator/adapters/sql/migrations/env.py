"""What Alembic runs: the revisions, on the connection and in the transaction of `migrate`."""

from alembic import context

from replicator.adapters.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
