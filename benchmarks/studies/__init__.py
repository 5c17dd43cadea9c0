"""Ablations, one recipe each with variants, and the command that trains them."""
