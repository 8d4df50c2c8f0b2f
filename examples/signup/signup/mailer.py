"""Sends mail. A real one would speak SMTP; this one writes a line to standard output."""


def send(to: str, subject: str) -> None:
    print(f"mail to {to}: {subject}", flush=True)


async def send_async(to: str, subject: str) -> None:
    send(to, subject)
