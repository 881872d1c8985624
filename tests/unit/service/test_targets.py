"""Where the desk may send something, and that it sends nowhere else."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.alerts import client, targets
from service.alerts.client import Unreached
from service.alerts.targets import Allowed, Target, check
from service.errors import BadTarget
from service.settings import Settings
from tests.unit.service.receivers import Receiver, Reply, closed_port

NOBODY = Allowed()
PRIVATE = (
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)
PUBLIC = ("1.1.1.1", "103.10.66.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1")


def names(*addresses: str) -> targets.Resolve:
    return lambda _host, _port: list(addresses)


def unasked(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host}:{port} was resolved")


def reason(url: str, allowed: Allowed = NOBODY, resolve: targets.Resolve = unasked) -> str:
    with pytest.raises(BadTarget) as caught:
        check(url, allowed, resolve=resolve)
    return caught.value.reason


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_of_an_inner_network_is_a_target(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert reason(f"https://{host}/") == "private"
    assert reason("https://hooks.example.id/", resolve=names(address)) == "private"
    assert reason("https://hooks.example.id/", resolve=names("1.1.1.1", address)) == "private"


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_open_internet_is_a_target(address: str) -> None:
    found = check("https://hooks.example.id/masuk?kunci=1", NOBODY, resolve=names(address))
    assert found == Target(
        scheme="https",
        host="hooks.example.id",
        port=443,
        path="/masuk?kunci=1",
        addresses=(str(ip_address(address)),),
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.id/x",
        "//hooks.example.id/x",
        "ftp://hooks.example.id/x",
        "file:///etc/passwd",
        "gopher://hooks.example.id:25/x",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://ani@hooks.example.id/",
        "https://ani:sandi@hooks.example.id/",
        "https://@hooks.example.id/",
        "https://hooks.example.id:0/",
        "https://hooks.example.id:65536/",
        "https://hooks.example.id:80a/",
        "https://hooks.example.id\\@127.0.0.1/",
        "https://hooks.example.id/ x",
        "https://hooks.example.id/\r\nHost: x",
        "https://hooks.example.id/\tx",
        "https://hooks..example.id/",
        "https://-hooks.example.id/",
        "https://hooks.exa mple.id/",
        "https://hooks%2eexample.id/",
        "https://[::1/",
        "https://[::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[v1.x]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1.1/",
        "https://1.2.3.256/",
        "https://" + "a" * 64 + ".id/",
        "https://hooks.example.id/" + "a" * 2000,
    ],
)
def test_what_is_no_plain_url_is_refused_before_anything_is_asked(url: str) -> None:
    assert reason(url) == "url"


@pytest.mark.parametrize(
    "url",
    [
        "https://１２７.０.０.１/",
        "https://①②⑦.⓪.⓪.①/",
        "https://127。0。0。1/",
        "https://127.0.0.1./",
        "https://[::ffff:127.0.0.1]:8443/",
    ],
)
def test_an_inner_address_in_disguise_is_known(url: str) -> None:
    assert reason(url) == "private"


def test_a_name_is_compared_in_one_form() -> None:
    assert check("https://BÜRO.Example.ID./x", NOBODY, resolve=names("1.1.1.1")).host == (
        "xn--bro-hoa.example.id"
    )
    path = check("https://example.id/kabar/é?q=ü#x", NOBODY, resolve=names("1.1.1.1")).path
    assert path == "/kabar/%C3%A9?q=%C3%BC"


def test_a_name_that_leads_nowhere_is_said_so() -> None:
    def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    assert reason("https://hooks.example.id/", resolve=nowhere) == "name"
    assert reason("https://hooks.example.id/", resolve=names()) == "name"


def test_plain_http_is_for_allowed_hosts_alone() -> None:
    assert reason("http://hooks.example.id/", resolve=names("1.1.1.1")) == "https"
    allowed = Allowed.of("hooks.example.id")
    assert check("http://hooks.example.id/", allowed, resolve=names("1.1.1.1")).port == 80


def test_an_allowed_host_may_be_anywhere_on_its_port() -> None:
    allowed = Allowed.of("mattermost.dinas:8065, [::1]:8899,127.0.0.1:8899")
    for url in (
        "http://mattermost.dinas:8065/hooks/x",
        "http://MATTERMOST.dinas.:8065/",
        "http://[0:0::1]:8899/",
        "http://127.0.0.1:8899/",
    ):
        assert check(url, allowed, resolve=names("10.0.0.9")).port in (8065, 8899)
    assert reason("https://mattermost.dinas/", allowed, names("10.0.0.9")) == "private"
    assert reason("https://127.0.0.1:5432/", allowed) == "private"
    assert reason("https://lain.dinas:8065/", allowed, names("10.0.0.9")) == "private"


def test_an_allowed_network_lets_its_addresses_through_and_no_others() -> None:
    allowed = Allowed.of("10.20.0.0/16, fd00:1::/32")
    inner, mixed = names("10.20.3.4", "fd00:1::5"), names("10.20.3.4", "1.1.1.1")
    assert len(check("http://dalam.dinas/", allowed, resolve=inner).addresses) == 2
    assert len(check("https://dua.dinas/", allowed, resolve=mixed).addresses) == 2
    assert reason("http://dua.dinas/", allowed, names("10.20.3.4", "1.1.1.1")) == "https"
    assert reason("https://dua.dinas/", allowed, names("10.20.3.4", "10.21.0.1")) == "private"
    assert reason("https://[::ffff:10.20.3.4]/", allowed) == "private"


@pytest.mark.parametrize(
    "value", ["10.0.0.1/8", "hooks example", "a:b:c", "host:99999999", "*.dinas", "http://x.id"]
)
def test_a_setting_that_is_no_list_of_hosts_stops_the_start(value: str) -> None:
    with pytest.raises(ValidationError):
        Settings(webhook_hosts=value)


@given(st.sampled_from(PRIVATE), st.integers(0, 2**24 - 1))
def test_no_wrapping_makes_an_inner_ipv4_address_public(address: str, more: int) -> None:
    inner = ip_address(address)
    if isinstance(inner, IPv6Address):
        return
    number = int(inner)
    for wrapped in (
        (0xFFFF << 32) | number,
        (0x64FF9B << 96) | number,
        (0x2002 << 112) | (number << 80) | more,
        number,
    ):
        assert not targets.public(IPv6Address(wrapped))


@given(st.integers(0, 2**32 - 1))
def test_what_python_calls_private_is_never_public(number: int) -> None:
    address = IPv4Address(number)
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        assert not targets.public(address) or address in ip_network("192.0.0.0/24")


@given(st.integers(0, 2**128 - 1))
def test_of_ipv6_only_what_is_given_out_is_public(number: int) -> None:
    address = IPv6Address(number)
    if targets.public(address):
        wraps = address.ipv4_mapped or address in ip_network("64:ff9b::/96")
        assert wraps or address in ip_network("2000::/3")


# --- the way there ------------------------------------------------------------------------------


def test_the_connection_goes_to_the_address_that_was_judged_under_the_hosts_name() -> None:
    with Receiver() as receiver:
        url = f"http://hooks.example.id:{receiver.port}/masuk?a=1"
        allowed = Allowed.of("hooks.example.id")
        target = check(url, allowed, resolve=names("127.0.0.1"))
        answer = client.post(target, b"{}", {"X-Apa": "ada"})
    assert answer.status == 200
    (got,) = receiver.got
    assert got.headers["host"] == f"hooks.example.id:{receiver.port}"
    assert (got.path, got.headers["x-apa"], got.body) == ("/masuk?a=1", "ada", b"{}")


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with Receiver() as receiver:
        target = Target(
            scheme="http",
            host="hooks.example.id",
            port=receiver.port,
            path="/",
            addresses=("127.0.0.2", "127.0.0.1"),
        )
        assert client.post(target, b"", {}).status == 200


def test_nobody_at_the_port_is_said_as_refused() -> None:
    target = check(f"http://127.0.0.1:{closed_port()}/", Allowed.of("127.0.0.1"))
    with pytest.raises(Unreached) as caught:
        client.post(target, b"", {})
    assert caught.value.code == "refused"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate for localhost, with its key in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "sendiri.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *(
                "-addext",
                "subjectAltName=DNS:localhost",
                "-keyout",
                str(path),
                "-out",
                f"{path}.crt",
            ),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_a_certificate_must_be_trusted_and_be_the_hosts(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    allowed = Allowed.of("127.0.0.0/8")
    client.trust.cache_clear()
    with Receiver(lambda _: Reply(status=204), context=context) as receiver:
        good = check(f"https://localhost:{receiver.port}/", allowed, resolve=names("127.0.0.1"))
        with pytest.raises(Unreached) as caught:
            client.post(good, b"", {})
        assert caught.value.code == "certificate"
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        client.trust.cache_clear()
        assert client.post(good, b"", {}).status == 204
        other = check(f"https://lain.test:{receiver.port}/", allowed, resolve=names("127.0.0.1"))
        with pytest.raises(Unreached) as caught:
            client.post(other, b"", {})
        assert caught.value.code == "certificate"
    client.trust.cache_clear()
