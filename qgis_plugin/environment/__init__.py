"""The managed environment: made, verified, upgraded and removed. The standard library alone."""
