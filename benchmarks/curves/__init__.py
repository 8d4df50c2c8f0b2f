"""Curves: what is measured over and over at growing sizes, drawn, and written into the documentation."""
