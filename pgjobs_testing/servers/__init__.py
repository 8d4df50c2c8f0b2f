"""Where the PostgreSQL of the tests comes from: a server named by the user, a container, or the
embedded binaries. `choose` decides and says why; `Choice.server()` is started when first needed.

Importing this package imports no driver, no Docker client and no testcontainers.
"""

from pgjobs_testing.servers.choose import Choice, choose
from pgjobs_testing.servers.server import Server, ServerError

__all__ = ["Choice", "Server", "ServerError", "choose"]
