"""The stepped engine: a node is an agenda of duties, each with ``next_due`` and ``step``."""
