"""The environment's proxies and certificates: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (or in lower case),
SSL_CERT_FILE and SSL_CERT_DIR.

httpx, which Prefect uses too, refuses to start at all with some values of these, even where nothing needs a network.
"""

import os
import urllib.request
from urllib.parse import urlsplit

_REMOVED = "FACEMASK_UNUSABLE"  # in the environment of this process and its children: VARIABLE=VALUE (WHY)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_CERTIFICATES = {"SSL_CERT_FILE": "cafile", "SSL_CERT_DIR": "capath"}  # arguments of ssl.create_default_context


def correct_environment() -> None:
    """Take out of the environment what httpx refuses: proxies and certificates that it cannot use, odd hosts.

    `socks://` becomes `socks5://`, as curl reads it, and `[::1]` becomes `::1`.
    """
    environ = os.environ
    for name in [name for name in environ if name.lower() in _PROXIES and environ[name]]:
        value = environ[name]
        usable = f"socks5{value[5:]}" if value.lower().startswith("socks://") else value
        if why := _refusal_of_proxy(usable if "://" in usable else f"http://{usable}"):
            environ[_REMOVED] = f"{name}={_without_password(value)} ({why})"
            del environ[name]
        else:
            environ[name] = usable
    for name, argument in _CERTIFICATES.items():
        if environ.get(name) and (why := _refusal_of_certificates(environ[name], argument)):
            environ[_REMOVED] = f"{name}={environ[name]} ({why})"
            del environ[name]
    for name in [name for name in environ if name.lower() == "no_proxy" and environ[name]]:
        hosts = [host.strip() for host in environ[name].split(",")]
        plain = [host[1:-1] if host.startswith("[") and host.endswith("]") else host for host in hosts]
        environ[name] = ",".join(filter(_is_pattern, plain))


def unusable_variable() -> str | None:
    """Return a proxy or certificate that correct_environment took out, with the reason: `ALL_PROXY=URL (WHY)`."""
    return os.environ.get(_REMOVED)


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, without a password; None if there is none."""
    try:
        parts = urlsplit(url)
    except ValueError:  # not a URL, which is said elsewhere
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme.lower()) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return _without_password(proxy)


def _refusal_of_proxy(url: str) -> str | None:
    import httpx  # slow to load, and few environments name a proxy

    try:
        httpx.Client(proxy=url, trust_env=False).close()
    except ImportError:
        return "for SOCKS proxies install the package socksio"
    except (ValueError, httpx.InvalidURL) as error:
        return " ".join(str(error).split())
    return None


def _refusal_of_certificates(path: str, argument: str) -> str | None:
    import ssl

    try:
        ssl.create_default_context(**{argument: path})  # type: ignore[arg-type]
    except OSError as error:  # SSLError too
        return error.strerror or str(error)
    return None


def _is_pattern(host: str) -> bool:
    """Whether httpx can read an entry of NO_PROXY; the second form is that of an IPv6 address."""
    import httpx

    for url in (f"all://*{host}", f"all://[{host}]"):
        try:
            httpx.URL(url)
        except httpx.InvalidURL:
            if url.endswith("]") or host.count(":") < 2:
                return False
        else:
            return bool(host)
    return False


def _without_password(proxy: str) -> str:
    start, at, end = proxy.rpartition("@")
    return f"{start.partition('://')[0]}://{end}" if at and "://" in start else end
