"""Speaks the Language Server Protocol to a YAML language server, as an editor does, over its stdio."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

MESSAGES = 200
"""Messages that are read while one answer is awaited."""


class LanguageServer:
    """One server process, and the documents that are opened in it."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._number = 0
        self.diagnostics: dict[str, list[Any]] = {}
        capabilities = {
            "textDocument": {
                "completion": {"completionItem": {"documentationFormat": ["markdown"]}},
                "hover": {"contentFormat": ["markdown"]},
                "publishDiagnostics": {},
            },
            "workspace": {"configuration": True},
        }
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities})
        self._tell("initialized", {})

    def open(self, path: Path) -> str:
        """Open a file; return its address."""
        uri = path.as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": path.read_text("utf-8")}
        self._tell("textDocument/didOpen", {"textDocument": document})
        return uri

    def complaints(self, uri: str) -> list[tuple[int, str]]:
        """Line, from 1, and message of each thing that the server finds wrong, once it has looked."""
        for _ in range(MESSAGES):
            if uri in self.diagnostics:
                break
            self._handle(self._read())
        return [
            (each["range"]["start"]["line"] + 1, each["message"]) for each in self.diagnostics[uri]
        ]

    def completions(self, uri: str, line: int, column: int) -> list[str]:
        """What is offered at a place, both from 1."""
        found = self.ask("textDocument/completion", _at(uri, line, column))
        return [item["label"] for item in found["items"]]

    def hover(self, uri: str, line: int, column: int) -> str:
        """What is shown of a place, both from 1."""
        found = self.ask("textDocument/hover", _at(uri, line, column))
        return "" if found is None else str(found["contents"]["value"])

    def ask(self, method: str, params: Any) -> Any:
        """The answer to a request."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        for _ in range(MESSAGES):
            message = self._read()
            if message.get("id") == self._number and "method" not in message:
                assert "error" not in message, message["error"]
                return message["result"]
            self._handle(message)
        raise AssertionError(f"no answer to {method}")

    def close(self) -> None:
        """End the server."""
        self.ask("shutdown", None)
        self._tell("exit", None)
        self._process.communicate(timeout=10)

    def _handle(self, message: Any) -> None:
        if message.get("method") == "textDocument/publishDiagnostics":
            self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and "method" in message:
            asked = message["params"].get("items", ()) if message["params"] else ()
            settings = [
                {
                    "completion": True,
                    "hover": True,
                    "validate": True,
                    "schemaStore": {"enable": False},
                }
                if item.get("section") == "yaml"
                else None
                for item in asked
            ]
            self._send({"id": message["id"], "result": settings or None})

    def _tell(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        length = 0
        while (line := self._process.stdout.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the server has ended"
        return json.loads(self._process.stdout.read(length))


def _at(uri: str, line: int, column: int) -> dict[str, Any]:
    position = {"line": line - 1, "character": column - 1}
    return {"textDocument": {"uri": uri}, "position": position}
