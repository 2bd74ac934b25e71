"""Which records again, how fast, compared with what? Decided here; the shells read and write."""
