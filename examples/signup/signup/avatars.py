"""Fetches a picture for an address. A real one would ask a web service."""

import asyncio


async def fetch(email: str) -> bytes:
    await asyncio.sleep(0.2)
    return f"<svg><title>{email}</title></svg>".encode()
