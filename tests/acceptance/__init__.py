"""The product from outside: its commands, files, exit codes, and what is in the database."""
