"""A token of each form that the operator handles: no text that it prints may contain one. None of them is in use."""

from typing import Final

TOKENS: Final = (
    "v1u:AQIBAHj+8/x==:AH4wfAYJKoZIhvcNAQ==",
    "12:34:0123456789abcdef0123456789abcdef01234567",
    "0123456789abcdef0123456789abcdef01234567",
    "hvs.CAESIJx1dGVzdHRlc3R0ZXN0dGVzdA",
    "s.abcdefghijklmnopqrstuvwx",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
    "1.2.0123456789abcdef0123456789abcdef0123456789",
)
