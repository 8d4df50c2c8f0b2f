"""Work within a transaction that the caller began, on a connection of the caller's library.

``kinds`` tells what was given, ``carrying`` sends a plan over it. psycopg, SQLAlchemy and Django have
a room each; none of them is imported before a connection of theirs is given.
"""
