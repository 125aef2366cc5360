"""The Processing algorithms, all read from one table."""
