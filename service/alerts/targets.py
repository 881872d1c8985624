"""Where the desk may send something: no target may lead it into its own network (SSRF).

A host's name is resolved once and every address it has is judged; the connection then goes to one
of these very addresses (``service.alerts.client``), so that a name that answers differently the
second time (DNS rebinding) gains nothing. What an administrator allows by name or network may be
private, and may speak plain HTTP.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final
from urllib.parse import quote, urlsplit

from service.errors import BadTarget

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host; raises OSError where there are none."""

MAX_URL: Final = 2000
_NOT_PUBLIC: Final = tuple(
    ip_network(network)
    for network in (  # IANA's registries of special-purpose addresses, as of 2026
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20"),
    )
)
_GLOBAL: Final = IPv6Network("2000::/3")
"""Of IPv6 only this is given out for the open internet."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SPLIT: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PART: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_PART}(?:\.{_PART})*")
_MAIL_CHARS: Final = 254
_PLAIN: Final = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What an administrator lets through: hosts (with a port, or with any) and networks."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, value: str) -> Allowed:
        """Read a list with commas of HOST, HOST:PORT, address or network.

        Raises:
            ValueError: a part is none of these.
        """
        hosts: set[tuple[str, int | None]] = set()
        networks: list[IPv4Network | IPv6Network] = []
        for part in filter(None, (part.strip() for part in value.split(","))):
            if "/" in part:
                networks.append(ip_network(part))
                continue
            try:
                networks.append(ip_network(ip_address(part)))
            except ValueError:
                found = _SPLIT.fullmatch(part)
                if found is None:
                    raise ValueError(f"“{part}” is no host, address or network") from None
                port = int(found[2]) if found[2] else None
                try:
                    hosts.add((_host(found[1]), port))
                except BadTarget as error:
                    raise ValueError(f"“{part}”: {error}") from None
        return cls(hosts=frozenset(hosts), networks=tuple(networks))

    def host(self, host: str, port: int) -> bool:
        """Return whether the host is allowed on this port, wherever it lies."""
        return (host, port) in self.hosts or (host, None) in self.hosts

    def address(self, address: Address) -> bool:
        """Return whether the address lies in an allowed network."""
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL that may be sent to, and the addresses that were found good."""

    scheme: str
    host: str
    """In ASCII, lower case; an IPv6 address without brackets."""
    port: int
    path: str
    """Path and query, in ASCII."""
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """What stands in the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host as the system knows them.

    Raises:
        OSError: there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def check(url: str, allowed: Allowed, *, resolve: Resolve = resolve) -> Target:
    """Return the target of a URL, resolved and judged.

    Raises:
        BadTarget: nothing may be sent there; ``reason`` says why as a code.
    """
    scheme, host, port, path = _parts(url)
    named = allowed.host(host, port)
    literal = _address(host)
    if literal is not None:
        addresses: list[Address] = [literal]
    else:
        try:
            addresses = [ip_address(found) for found in resolve(host, port)]
        except (OSError, ValueError):
            addresses = []
        if not addresses:
            raise BadTarget("this host's name leads nowhere", "name")
    inside = named or all(allowed.address(address) for address in addresses)
    if scheme == "http" and not inside:
        raise BadTarget("only https:// may be sent to, but for hosts that are allowed", "https")
    if not inside and any(not public(a) and not allowed.address(a) for a in addresses):
        raise BadTarget("this host lies in a private or special network", "private")
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        path=path,
        addresses=tuple(str(address) for address in addresses),
    )


def only(url: str) -> Allowed:
    """Return what allows a URL's host and port, and nothing else.

    Raises:
        BadTarget: it is no URL.
    """
    _, host, port, _ = _parts(url)
    return Allowed(hosts=frozenset({(host, port)}))


def public(address: Address) -> bool:
    """Return whether an address is one of the open internet, whatever it is wrapped in."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address.ipv4_mapped is not None:
        return public(address.ipv4_mapped)
    if address in _NAT64:
        return public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _6TO4:
        return public(IPv4Address((int(address) >> 80) & 0xFFFFFFFF))
    return address in _GLOBAL and not any(address in network for network in _NOT_PUBLIC)


def is_mail_address(value: str) -> bool:
    """Return whether this is one mail address, in ASCII and without quotes (RFC 5321)."""
    return len(value) <= _MAIL_CHARS and _MAIL.fullmatch(value) is not None


def _parts(url: str) -> tuple[str, str, int, str]:
    if len(url) > MAX_URL or re.search(r"[\x00-\x20\x7f-\xa0\\]", url):
        raise BadTarget("a URL has no blanks and no backslashes, and 2000 characters at most")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadTarget("this URL cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadTarget("a URL begins with https:// and the name of a host")
    if "@" in parts.netloc:
        raise BadTarget("a URL with a name or password before the host is not taken")
    if port == 0:
        raise BadTarget("there is no port 0")
    host = f"[{parts.hostname}]" if "[" in parts.netloc else parts.hostname
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual = 443 if parts.scheme == "https" else 80
    return parts.scheme, _host(host), port or usual, quote(path, safe=_PLAIN)


def _host(host: str) -> str:
    """Return a host's name or address in the one form in which it is compared and judged.

    Addresses in other notations (127.1, 0x7f000001, 017700000001) are refused: what they mean
    depends on who reads them.
    """
    if host.startswith("["):
        try:
            address = IPv6Address(host[1:-1])
        except ValueError:
            raise BadTarget("this is no IPv6 address") from None
        if address.scope_id is not None:
            raise BadTarget("an address with a zone is not taken")
        return str(address)
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise BadTarget("this is no name of a host") from None
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise BadTarget("write an address as four decimal numbers") from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise BadTarget("this is no name of a host")
    return name


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
