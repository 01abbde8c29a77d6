"""One module per revision, named by its order; a released one is never edited."""
