"""The engine's outside: stores, clocks, executors. Adapters apply; they decide nothing."""
