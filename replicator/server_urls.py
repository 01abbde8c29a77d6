"""URLs of the servers that a node works with: what may stand in them, and what each library wants.

Pure; no message quotes a URL, because a password may stand in it.
"""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from replicator.errors import ConfigurationError

_TLS_SCHEMES: Final = ("rediss", "amqps")


def check(name: str, url: str | None, schemes: tuple[str, ...]) -> None:
    """Refuse a URL that libraries would refuse with words that quote its password.

    Args:
        name: of the setting.
        url: None is fit.
        schemes: those that the setting may have.

    Raises:
        ConfigurationError: the scheme is another one, or something else is wrong.
    """
    if url is None:
        return
    if url.partition("://")[0] not in schemes:
        needed = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigurationError(f"{name}: one of {needed} is needed")
    try:
        port = urlsplit(url.partition(";")[0]).port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigurationError(
            f"{name}: its port is no number; in a password write %2F for /, %3F for ?, %23 for #"
        )
    if "ssl_" in url.partition("?")[2]:
        raise ConfigurationError(
            f"{name}: TLS is set with tls_ca, tls_certificate and tls_key, not in the URL"
        )


def with_tls(url: str, ca: str | None, certificate: str | None, key: str | None) -> str:
    """Return a URL that says, as redis-py writes it, whom to believe in TLS."""
    if url.partition("://")[0] not in _TLS_SCHEMES:
        return url
    options = {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": "true",
        "ssl_ca_certs": ca,
        "ssl_certfile": certificate,
        "ssl_keyfile": key,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(given)}"


def as_broker(work_url: str) -> str:
    """Return the work state's URL as kombu writes it: it has words of its own for a Unix socket."""
    scheme, _, place = work_url.partition("://")
    if scheme != "unix":
        return work_url
    path, _, query = place.partition("?")
    database = dict(parse_qsl(query)).get("db", "0")
    return f"redis+socket://{path}?{urlencode({'virtual_host': database})}"


def in_home(database_url: str, home: Path) -> str:
    """Return the URL of an SQLite file with its whole path: a relative one is in the home."""
    scheme, _, path = database_url.partition(":///")
    if not scheme.startswith("sqlite") or not path or path.startswith(("/", ":memory:")):
        return database_url
    return f"{scheme}:///{quote(str(home))}/{path}"
