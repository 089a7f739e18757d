"""The environment's proxies: values that httpx refuses do not stop what needs no network."""

import os

import httpx
import pytest

from pipeline.proxies import correct_environment, proxy_of, unusable_variable

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "facemask_unusable", "ssl_cert_file", "ssl_cert_dir")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in (*NAMES, *map(str.upper, NAMES)):
        monkeypatch.setenv(name, "")  # so that it is unset again after the test, whatever sets it
        monkeypatch.delenv(name)


REFUSED = [
    ("ALL_PROXY", "socks5h://127.0.0.1:1080"),
    ("all_proxy", "socks://127.0.0.1:1080"),
    ("https_proxy", "ftp://127.0.0.1"),
    ("HTTPS_PROXY", "http://[::1"),
    ("HTTP_PROXY", "http://host:port"),
    ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
    ("SSL_CERT_FILE", __file__),
    ("NO_PROXY", "[::1]"),
    ("no_proxy", "localhost, [::1]:80,fe80::/10,a.de"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_client_starts_with_any_proxy_in_the_environment(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises((ImportError, ValueError, OSError, httpx.InvalidURL)):
        httpx.Client()
    correct_environment()
    httpx.Client().close()


@pytest.mark.parametrize(("name", "value"), REFUSED[:5])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch, name, value):
    monkeypatch.setenv(name, value.replace("://", "://anna:secret@"))
    correct_environment()
    named = unusable_variable() or ""
    assert named.startswith(f"{name}={value} (")
    assert "secret" not in named


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("[::1]", "::1"),
        ("localhost, 127.0.0.1,.a.de,*.b.de,10.0.0.0/8", "localhost,127.0.0.1,.a.de,*.b.de,10.0.0.0/8"),
        ("*", "*"),
    ],
)
def test_hosts_without_a_proxy_stay_in_the_environment(monkeypatch, value, kept):
    monkeypatch.setenv("NO_PROXY", value)
    correct_environment()
    assert os.environ["NO_PROXY"] == kept


@pytest.mark.parametrize("path", ["/nowhere/certificates.pem", __file__])
def test_certificates_that_cannot_be_used_are_named(monkeypatch, path):
    monkeypatch.setenv("SSL_CERT_FILE", path)
    correct_environment()
    assert (unusable_variable() or "").startswith(f"SSL_CERT_FILE={path} (")


def test_a_usable_proxy_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://anna:word@proxy.de:3128")
    correct_environment()
    assert os.environ["https_proxy"] == "http://anna:word@proxy.de:3128"
    assert unusable_variable() is None


def test_the_proxy_of_an_address_is_that_of_its_scheme(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://anna:word@proxy.de:3128")
    monkeypatch.setenv("no_proxy", "near.de")
    assert proxy_of("https://far.de/a") == "http://proxy.de:3128"
    assert proxy_of("https://near.de/a") is None
    assert proxy_of("http://far.de/a") is None
