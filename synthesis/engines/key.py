"""Key: a secret that never shows itself, and the rule for which endpoint may see which secret.

`TGI_API_KEY` goes to the endpoints that the user named, whatever their host. `HF_TOKEN` opens a whole account, so it
goes to Hugging Face alone (https, huggingface.co and *.endpoints.huggingface.cloud) and only where `TGI_API_KEY` is
not set. Neither follows a redirect, and neither is written anywhere.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from synthesis.errors import UserError

_LOG = logging.getLogger(__name__)
_HUGGING_FACE = re.compile(r"(.+\.)?huggingface\.co|.+\.endpoints\.huggingface\.cloud")
_PLAIN = re.compile(r"[\x21-\x7e]+")


class Key:
    """A bearer secret and `source`, the name of the variable that it came from."""

    __slots__ = ("_secret", "source")

    def __init__(self, secret: str, source: str) -> None:
        """Raises UserError naming `source` when the secret cannot stand in a header."""
        secret = secret.strip()
        if not _PLAIN.fullmatch(secret):
            raise UserError(f"{source}: a key is printable ASCII without spaces; this one is not. Set it anew")
        self._secret, self.source = secret, source

    def __repr__(self) -> str:
        return f"Key(*** from {self.source})"

    def headers(self) -> dict[str, str]:
        """The one place where the secret leaves this object as a whole."""
        return {"Authorization": f"Bearer {self._secret}"}

    def redact(self, text: str) -> str:
        """`text` without the secret: servers and proxies like to repeat what they refused."""
        return re.sub(re.escape(self._secret), "***", text, flags=re.IGNORECASE)


def key_for(url: str, environ: Mapping[str, str]) -> Key | None:
    """The key that the endpoint at `url` may see, or None. A key over plain http to another machine is warned of."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if environ.get("TGI_API_KEY"):
        if parts.scheme == "http" and not is_loopback(host):
            _LOG.warning("TGI_API_KEY goes to %s over plain http, readable on the way; use https if you can", host)
        return Key(environ["TGI_API_KEY"], "TGI_API_KEY")
    if environ.get("HF_TOKEN") and parts.scheme == "https" and _HUGGING_FACE.fullmatch(host):
        return Key(environ["HF_TOKEN"], "HF_TOKEN")
    return None


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
