"""Several nodes of the engine on one virtual clock over one store, and what may happen to them."""
