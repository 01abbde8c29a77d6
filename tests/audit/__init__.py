"""What `make audit` runs: static security rules, and the locks against an advisory source."""
