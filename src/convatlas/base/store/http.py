"""HTTP requests with urllib: proxies from the environment, verified certificates, checked redirects."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import string
from http.client import HTTPException, HTTPResponse
from urllib.error import URLError
from urllib.parse import quote, urldefrag, urljoin, urlsplit
from urllib.request import HTTPErrorProcessor, HTTPSHandler, Request, build_opener

from convatlas.base.errors import StoreError
from convatlas.base.records import provenance

TIMEOUT = 30.0  # seconds to wait for the next byte
REDIRECTS = 10


class TransientError(Exception):
    """A failed request that may succeed if it is sent again; the text is the reason."""


def get(url: str, headers: dict[str, str]) -> HTTPResponse:
    """Send a GET request and return the response, its body unread: status 2xx, or 416 for an empty range.

    Raises:
        StoreError: The request fails; the text is only the reason.
        TransientError: The request fails, but may succeed later.
    """
    visited = [urldefrag(url).url]
    while True:
        try:
            response = _send(visited[-1], headers)
        except URLError as error:
            reason = error.reason if isinstance(error.reason, Exception) else error
            raise StoreError(describe(reason)) from None
        except (http.client.InvalidURL, ValueError) as error:
            raise StoreError(f"the address is not valid: {describe(error)}") from None
        except (OSError, HTTPException) as error:
            raise TransientError(f"no response from the server: {describe(error)}") from None
        if response.status < 300 or response.status == 416:
            return response
        with response:
            if response.status not in (301, 302, 303, 307, 308):
                status = response.status
                failed = f"the server responds {status} {http.client.responses.get(status, '')}".rstrip()
                # A timeout, too many requests, and errors of the server may be over soon.
                raise TransientError(failed) if status in (408, 429) or status >= 500 else StoreError(failed)
            target = redirected(visited[-1], response.headers.get("Location", ""))
        if target in visited:
            raise StoreError("the server redirects in a circle")
        if len(visited) > REDIRECTS:
            raise StoreError(f"the server redirects more than {REDIRECTS} times")
        visited.append(target)


def redirected(source: str, location: str) -> str:
    """Return the address that a redirect from `source` leads to.

    Raises:
        StoreError: It is not a web address, or it would leave https for http.
    """
    try:
        target = quote(urldefrag(urljoin(source, location)).url, safe=string.punctuation, encoding="latin-1")
        parts = urlsplit(target)
        host = parts.hostname
    except ValueError:
        host = None
    if not location or not host or parts.scheme not in ("http", "https"):
        raise StoreError(f"the server redirects to {location[:200]!r}, which is not a web address")
    if parts.scheme == "http" and urlsplit(source).scheme == "https" and not _is_loopback(host):
        raise StoreError(f"the server redirects from https to http, at {host[:200]!r}")
    return target


def describe(error: Exception) -> str:
    """Describe a network error in one line of up to 200 characters."""
    if isinstance(error, TimeoutError):
        return f"no data for {TIMEOUT:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is invalid ({error.verify_message})"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]


class _Unprocessed(HTTPErrorProcessor):
    """Return every response unchanged: follow no redirect, and raise no error for a status."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        return response

    https_response = http_response


def _send(url: str, headers: dict[str, str]) -> HTTPResponse:
    # Created here, so that certificates are verified even if the process has turned that off by default.
    secure = [HTTPSHandler(context=ssl.create_default_context())] if url.startswith("https:") else []
    agent = f"convatlas/{provenance().versions['convatlas']}"
    request = Request(url, headers={"User-Agent": agent, **headers})
    response: HTTPResponse = build_opener(_Unprocessed(), *secure).open(request, timeout=TIMEOUT)
    return response


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
