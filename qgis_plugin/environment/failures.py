"""What can go wrong in an installation, recognised from what venv, pip, uv and the self-test say, with the way out."""

from __future__ import annotations

import re
from dataclasses import dataclass


class EnvironmentFailure(Exception):
    """The environment cannot be made, verified or removed.

    Args:
        text: what happened.
        hint: what to do.
        log: all that the tools said, without passwords.
        kind: the failure's name, for tests and reports.
    """

    def __init__(self, text: str, hint: str = "", log: str = "", kind: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.log = scrub(log)
        self.kind = kind


class Cancelled(EnvironmentFailure):
    """The user cancelled."""

    def __init__(self) -> None:
        super().__init__("The installation was cancelled.", "Nothing was left behind; start it again.", "", "cancelled")


@dataclass(frozen=True)
class _Class:
    kind: str
    pattern: str
    text: str
    hint: str


# The first that matches counts: causes stand before their consequences ("no connection" before "no such version").
_CLASSES = (
    _Class(
        "disk",
        r"No space left on device|\[Errno 28\]|os error (28|112)\b|WinError 112|not enough space on the disk|"
        r"Disk quota exceeded",
        "The disk is full.",
        "The environment needs about 500 MB, and as much again for a moment. Free some space, or set RSGEO_HOME to a "
        "folder on another disk.",
    ),
    _Class(
        "hash",
        r"DO NOT MATCH THE HASHES|[Hh]ash mismatch|does not have the pinned SHA-256",
        "A package is not the file that this version of the plugin was tested with.",
        "A proxy or mirror may have changed or cut the download: try again, and if it stays so, use the official index "
        "or a wheelhouse made elsewhere. Nothing of it was installed.",
    ),
    _Class(
        "proxy",
        r"407 Proxy Auth|Tunnel connection failed: 407|407 authenticationrequired|proxy authentication required|"
        r"proxy authorization required|status code:? 407|HTTP Error 407",
        "The proxy asks for a user name and a password (407).",
        "Enter them in QGIS under Settings > Options > Network, or put user:password@ before the host in HTTPS_PROXY.",
    ),
    _Class(
        "proxy-unreachable",
        r"Cannot connect to proxy|ProxyError|[Uu]nable to connect to proxy|tunnel error|proxy connect|"
        r"Tunnel connection failed|unsuccessful tunnel",
        "The proxy cannot be reached or refuses the connection.",
        "Check the proxy in QGIS under Settings > Options > Network and in HTTPS_PROXY.",
    ),
    _Class(
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|invalid peer certificate|UnknownIssuer|"
        r"self[- ]signed certificate|SSLCertVerificationError|SSLError\(",
        "The certificate of the package index is not trusted: often a company's firewall reads encrypted traffic.",
        "Ask your administrator for the certificate of that firewall, set SSL_CERT_FILE and PIP_CERT to its file, or "
        "install from a wheelhouse. rsgeo never switches the check off.",
    ),
    _Class(
        "dns",
        r"Name or service not known|name resolution|NameResolutionError|getaddrinfo failed|nodename nor servname|"
        r"dns error|failed to lookup address|Failed to resolve '|No address associated with hostname",
        "The name of the package index cannot be resolved.",
        "Check the internet connection and the proxy (Settings > Options > Network), or install from a wheelhouse.",
    ),
    _Class(
        "network",
        r"Connection refused|Network is unreachable|No route to host|[Cc]onnect(ion)? ?timed? ?out|ConnectTimeout|"
        r"ReadTimeout|Read timed out|operation timed out|NewConnectionError|Failed to establish a new connection|"
        r"Max retries exceeded|[Cc]onnection reset|RemoteDisconnected|error sending request|IncompleteRead|"
        r"client error \(Connect\)|[Nn]etwork (connectivity is|was) disabled|urlopen error|WinError 1006[01]",
        "The package index cannot be reached.",
        "Check connection, firewall and proxy (Settings > Options > Network), or install from a wheelhouse.",
    ),
    _Class(
        "policy",
        r"WinError 1260|os error 1260|blocked by group policy|WinError 4551|os error 4551|Application Control policy",
        "A policy of this machine forbids programs in the user's folders (AppLocker or Application Control).",
        "Ask your administrator to allow rsgeo's folder, set RSGEO_HOME to an allowed one, or choose an interpreter "
        "that the administrator has installed with rsgeo.",
    ),
    _Class(
        "antivirus",
        r"WinError 225|os error 225|contains a virus or potentially unwanted",
        "The antivirus program took a file away.",
        "Let it allow rsgeo's folder, then try again.",
    ),
    _Class(
        "vc-runtime",
        r"DLL load failed while importing onnxruntime|VCRUNTIME140|MSVCP140",
        "onnxruntime cannot be loaded: the Visual C++ runtime of Microsoft is missing or too old.",
        "Install the newest 'Microsoft Visual C++ Redistributable' (x64), start Windows again and verify once more.",
    ),
    _Class(
        "glibc",
        r"GLIBC(XX)?_[\d.]+'? not found",
        "This Linux is too old for the packages (its C library).",
        "rsgeo needs glibc 2.28 (Debian 10, Ubuntu 20.04, RHEL 8) or newer: upgrade, or choose a conda Python.",
    ),
    _Class(
        "locked",
        r"WinError 32\b|os error 32\b|Directory not empty|being used by another process",
        "A file of the environment is in use.",
        "Close other QGIS windows and running rsgeo tools, then try again.",
    ),
    _Class(
        "no-ensurepip",
        r"ensurepip is not\s+available|No module named '?ensurepip|No module named '?venv|ensurepip', '--upgrade'",
        "This Python cannot make environments: its part 'ensurepip' is missing.",
        "On Debian and Ubuntu: sudo apt install python3-venv. Or choose the tool uv, which does not need it.",
    ),
    _Class(
        "permission",
        r"Permission denied|PermissionError|WinError 5\b|Access is denied|os error (5|13)\b.*denied|"
        r"Read-only file system|Operation not permitted",
        "A file or folder of the environment may not be written.",
        "Check who owns rsgeo's data folder, or set RSGEO_HOME to a folder that is yours.",
    ),
    _Class(
        "no-rsgeo",
        r"(No matching distribution found for|there is no version of|Because) rsgeo\b",
        "The index or wheelhouse does not have the rsgeo of this plugin's version.",
        "Update the plugin and the wheelhouse to the same version, or install from a checkout.",
    ),
    _Class(
        "no-wheel",
        r"no wheels? with a matching|not a supported wheel on this platform|\(from versions: (?!none)|"
        r"is not compatible with the current platform|only has wheels (for|with)|no usable wheels|"
        r"no compatible wheels?",
        "There is no ready-built package for this Python or this machine.",
        "Use Python 3.11 to 3.13 on 64-bit Linux, Windows or macOS 14 and newer: name another interpreter as the base, "
        "or choose the tool uv, which brings one. A wheelhouse must be made with the same Python version and system. "
        "The gpu variant is for Linux and Windows on x86-64 alone.",
    ),
    _Class(
        "no-version",
        r"No matching distribution found|was not found in the (package registry|provided package locations)|"
        r"there is no version of|No solution found|in the package registry|was not found in the cache",
        "The index or wheelhouse lacks a package.",
        "Fill the wheelhouse again with the same Python version and system (make wheelhouse), or check the mirror.",
    ),
    _Class(
        "build",
        r"subprocess-exited-with-error|Failed to build|failed to build|Failed building wheel|BackendUnavailable",
        "rsgeo cannot be built from the checkout.",
        "Check that the folder is a whole checkout of rsgeo; the log says which step failed.",
    ),
    _Class(
        "outdated",
        r"No module named '?rsgeo_core\.worker|No module named '?rsgeo_core",
        "The environment's rsgeo is missing or too old: it has no worker.",
        "Upgrade the environment, or choose an interpreter with the rsgeo of this plugin's version.",
    ),
)


def recognise(log: str, step: str) -> EnvironmentFailure:
    """The failure behind a log.

    Args:
        log: what the tool said.
        step: what was being done, for failures of no known class.
    """
    for known in _CLASSES:
        if re.search(known.pattern, log):
            return EnvironmentFailure(f"{step}: {known.text}", known.hint, log, known.kind)
    lines = [line for line in scrub(log).splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if re.search(r"error|fail", line, re.IGNORECASE)), "")
    said = said or (lines[-1] if lines else "nothing was said")
    return EnvironmentFailure(f"{step}: {said.strip()}", "The log has the details.", log, "unknown")


def scrub(text: str) -> str:
    """A text without the user names and passwords of its URLs."""
    return re.sub(r"(?<=://)[^/\s@]+@", "***@", text)
