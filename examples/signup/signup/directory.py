"""Tells which domains take mail. A real one would ask the DNS."""


def accepts_mail(domain: str) -> bool:
    return "." in domain and not domain.endswith(".invalid")
