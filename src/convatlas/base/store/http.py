"""Requests over HTTP, with urllib: proxies as the environment says, certificates verified, redirects watched."""

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

TIMEOUT = 30.0  # seconds without a byte
REDIRECTS = 10


class Broken(Exception):
    """An answer that may well come whole when it is asked for again."""


def ask(url: str, headers: dict[str, str]) -> HTTPResponse:
    """The answer to a GET, its body still to be read: status 2xx, or 416 if there is nothing in the asked range.

    Raises:
        StoreError: There is none; the text is only the reason.
        Broken: It may be worth another try.
    """
    passed = [urldefrag(url).url]
    while True:
        try:
            answer = _answer(passed[-1], headers)
        except URLError as error:
            reason = error.reason if isinstance(error.reason, Exception) else error
            raise StoreError(said(reason)) from None
        except (http.client.InvalidURL, ValueError) as error:
            raise StoreError(f"this is no address that can be asked: {said(error)}") from None
        except (OSError, HTTPException) as error:
            raise Broken(f"the server does not answer: {said(error)}") from None
        if answer.status < 300 or answer.status == 416:
            return answer
        with answer:
            if answer.status not in (301, 302, 303, 307, 308):
                failed = f"the server answers {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
                # Too many requests, or an error of its own, may pass.
                raise Broken(failed) if answer.status in (408, 429) or answer.status >= 500 else StoreError(failed)
            target = redirected(passed[-1], answer.headers.get("Location", ""))
        if target in passed:
            raise StoreError("the server redirects in a circle")
        if len(passed) > REDIRECTS:
            raise StoreError(f"the server redirects more than {REDIRECTS} times")
        passed.append(target)


def redirected(source: str, location: str) -> str:
    """The address that an answer from `source` refers to.

    Raises:
        StoreError: It is no web address, or one that would be asked in the open although `source` is not.
    """
    try:
        target = quote(urldefrag(urljoin(source, location)).url, safe=string.punctuation, encoding="latin-1")
        parts = urlsplit(target)
        host = parts.hostname
    except ValueError:
        host = None
    if not location or not host or parts.scheme not in ("http", "https"):
        raise StoreError(f"the server redirects to {location[:200]!r}, which is no web address")
    if parts.scheme == "http" and urlsplit(source).scheme == "https" and not _is_loopback(host):
        raise StoreError(f"the server redirects from https to http, at {host[:200]!r}")
    return target


def said(error: Exception) -> str:
    """An error of the network in a few words on one line."""
    if isinstance(error, TimeoutError):
        return f"nothing came for {TIMEOUT:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]


class _AsItIs(HTTPErrorProcessor):
    """Takes every answer for what it is: no redirect is followed before it was looked at, no status is an error."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        return response

    https_response = http_response


def _answer(url: str, headers: dict[str, str]) -> HTTPResponse:
    # Made here, so that verification stays on whatever else the process has set as the default.
    secure = [HTTPSHandler(context=ssl.create_default_context())] if url.startswith("https:") else []
    agent = f"convatlas/{provenance().versions['convatlas']}"
    request = Request(url, headers={"User-Agent": agent, **headers})
    answer: HTTPResponse = build_opener(_AsItIs(), *secure).open(request, timeout=TIMEOUT)
    return answer


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
