"""Where pip would look for packages, so that uv looks there too and uv itself can come from there."""

from __future__ import annotations

import base64
import configparser
import html
import json
import os
import re
import ssl
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OFFICIAL = "https://pypi.org/simple/"
_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Settings:
    """pip's own settings, from its files and variables."""

    index: str = ""
    extra: tuple = ()
    find_links: tuple = ()
    offline: bool = False
    certificates: str = ""


def settings(environ: Mapping[str, str]) -> Settings:
    """What pip would use: a variable counts more than a file, a user's file more than the machine's."""
    known: dict = {}
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself will say what is wrong with it
        for section in ("global", "install"):
            if parser.has_section(section):
                known.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    for name in ("index-url", "extra-index-url", "find-links", "no-index", "cert"):
        value = environ.get("PIP_" + name.upper().replace("-", "_"))
        if value:
            known[name] = value
    return Settings(
        known.get("index-url", "").strip(),
        tuple(known.get("extra-index-url", "").split()),
        tuple(known.get("find-links", "").split()),
        known.get("no-index", "").strip().lower() in ("1", "true", "yes", "on"),
        known.get("cert", "").strip(),
    )


def uv_variables(environ: Mapping[str, str]) -> dict:
    """The same for uv, which does not read pip's files; what the user has set for uv itself stays."""
    found = settings(environ)
    wanted = {"UV_SYSTEM_CERTS": "1"}
    if found.index:
        wanted["UV_DEFAULT_INDEX"] = found.index
    if found.extra:
        wanted["UV_INDEX"] = " ".join(found.extra)
    if found.find_links:
        wanted["UV_FIND_LINKS"] = ",".join(found.find_links)
    if found.certificates:
        wanted["SSL_CERT_FILE"] = found.certificates
    return {name: value for name, value in wanted.items() if name not in environ}


def download(project: str, filename: str, proxy: str, environ: Mapping[str, str]) -> bytes:
    """One file of the index, unchecked: compare its hash before use.

    Raises:
        OSError: the index cannot be reached or answers with an error.
        LookupError: the index does not list the file.
    """
    found = settings(environ)
    if found.offline:
        raise LookupError(f"pip is set to use no index, so {filename} cannot be fetched.")
    context = ssl.create_default_context(cafile=found.certificates or None)
    proxies = {"http": proxy, "https": proxy} if proxy else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
    )
    for root in (found.index or OFFICIAL, *found.extra):
        page = urllib.parse.urljoin(root.rstrip("/") + "/", project + "/")
        try:
            body, address, kind = _get(opener, page + ("index.html" if page.startswith("file:") else ""), _JSON)
        except OSError:
            if root == (found.index or OFFICIAL) and not found.extra:
                raise
            continue
        target = _address(body, kind, filename)
        if target:
            return _get(opener, urllib.parse.urljoin(address, target), "*/*")[0]
    raise LookupError(f"The index does not have {filename}.")


def _address(body: bytes, kind: str, filename: str) -> str:
    text = body.decode("utf-8", "replace")
    if "json" in kind:
        files = json.loads(text).get("files", [])
        return next((file["url"] for file in files if file.get("filename") == filename), "")
    match = re.search(r'href="([^"]*' + re.escape(filename) + r'[^"]*)"', text)
    return html.unescape(match.group(1)) if match else ""


def _get(opener, address: str, accept: str) -> tuple:
    parts = urllib.parse.urlsplit(address)
    headers = {"Accept": f"{accept}, text/html;q=0.1"}
    if parts.scheme not in ("https", "http", "file"):
        raise OSError(f"{parts.scheme} is not a way to an index")
    if parts.username:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        address = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    with opener.open(urllib.request.Request(address, headers=headers), timeout=60) as answer:
        return answer.read(), answer.geturl(), answer.headers.get("Content-Type", "")


def _files(environ: Mapping[str, str]) -> list:
    """pip's configuration files, the least important first."""
    own = environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:
        return []
    user = Path.home()
    if os.name == "nt":
        folders = [environ.get("PROGRAMDATA", ""), str(user), environ.get("APPDATA", "")]
        found = [Path(folder) / "pip" / "pip.ini" for folder in folders if folder]
    else:
        found = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), user / ".pip" / "pip.conf"]
        if sys.platform == "darwin":
            found.append(user / "Library" / "Application Support" / "pip" / "pip.conf")
        found.append(Path(environ.get("XDG_CONFIG_HOME") or user / ".config") / "pip" / "pip.conf")
    return [*found, Path(own)] if own else found
