"""The systemd unit of `agentctl serve` for one project. Pure: a description of the service in, the text of the file out.

It is written for systemd 252 and newer. Every setting that takes something away from the steps says so in the file itself:
someone who has to loosen one finds it there.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec

GRACE = 30  # seconds that running steps get when the service is stopped; then TERM, and 10 s later KILL
_STOP = GRACE + 30  # seconds until systemd kills what is left, everything journaled by then
_HOMES = ("/home", "/root", "/run/user")
_UNSAFE = re.compile(r"[^a-zA-Z0-9_.-]+")


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """`root`: of the project.  `store`: the folder of its store.  `command`: agentctl as argv, without `serve`.  `uses`: other
    folders that it reads, such as Python's.  `options`: of `serve`, as argv.  `account`: the user that a system unit runs as.
    `user`: a unit of the user's own manager instead."""

    root: Path
    store: Path
    command: list[str]
    uses: list[Path] = []
    options: list[str] = []
    account: str = "root"
    user: bool = False

    @property
    def name(self) -> str:
        """Of the service, without `.service`: `agentctl-` and the name of the project's folder."""
        return f"agentctl-{_UNSAFE.sub('-', self.root.name).strip('-') or 'project'}"


def unit(described: Described) -> str:
    """The text of the unit file."""
    sections = [_unit(described), _service(described), _isolation(described), _install(described)]
    return "\n".join(line for section in sections for line in section) + "\n"


def _unit(described: Described) -> list[str]:
    network = [] if described.user else ["Wants=network-online.target", "After=network-online.target"]
    return [
        f"# Written by `agentctl service install`. Change it by `systemctl {_manager(described)}edit {described.name}`:",
        "# what stands there wins, and an update of this file leaves it alone.",
        "",
        "[Unit]",
        f"Description=agentctl: the loops of {_escaped(str(described.root))}",
        *network,
        "# A full disk or a locked store passes: it is tried again for ever.",
        "StartLimitIntervalSec=0",
        "",
    ]


def _service(described: Described) -> list[str]:
    argv = [*described.command, "serve", "--grace", f"{GRACE}s", *described.options]
    account = [] if described.user else [f"User={_escaped(described.account)}"]
    return [
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(map(_argument, argv))}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={_escaped(str(described.root))}",
        *account,
        "UMask=0077",
        "",
        "# Recovering what was under way comes before ready; the watchdog is fed after a real write to the store.",
        "TimeoutStartSec=10min",
        "WatchdogSec=60s",
        "Restart=on-failure",
        "RestartSec=5s",
        "# Exit code 2: agentctl.yaml or the command line has a mistake, which waiting does not fix.",
        "RestartPreventExitStatus=2",
        "",
        f"# Only agentctl gets the signal: it gives running steps {GRACE} s, ends them, and exits.",
        "KillMode=mixed",
        f"TimeoutStopSec={_STOP}s",
        "",
        *_credentials(described),
        *_state(described),
    ]


def _credentials(described: Described) -> list[str]:
    if described.user:
        return [
            "# Secrets: the project's .env, or files given by `systemctl --user edit`:",
            "#   [Service]",
            "#   LoadCredential=OPENAI_API_KEY:%h/.config/agentctl/OPENAI_API_KEY",
            "",
        ]
    folder = f"/etc/credstore/{_escaped(described.name)}"
    return [
        f"# The bearer token of --listen: {folder}.token, if there is such a file.",
        f"LoadCredential=agentctl-token:{_escaped(described.name)}.token",
        "# Secrets: the project's .env, or files that only root reads, given by `systemctl edit`:",
        "#   [Service]",
        f"#   LoadCredential=OPENAI_API_KEY:{folder}.OPENAI_API_KEY",
        "",
    ]


def _state(described: Described) -> list[str]:
    """A home for the steps: git, pip and npm keep settings and caches there, and the account's own may not be written to."""
    folder = _escaped(f"agentctl/{described.name.removeprefix('agentctl-')}")
    if described.user:
        return ["# A folder for the steps: $STATE_DIRECTORY.", f"StateDirectory={folder}", ""]
    return [
        f"# A home for the steps, /var/lib/{folder}: programs keep settings and caches there.",
        f"StateDirectory={folder}",
        "StateDirectoryMode=0700",
        f"Environment=HOME=%S/{folder}",
        "",
    ]


# What a user's own manager can enforce without privileges: system call filters and flags of the process.
_OF_THE_PROCESS = [
    ("NoNewPrivileges=yes", "steps that use sudo, or ping as a setuid program"),
    ("RestrictSUIDSGID=yes", "steps that make setuid files"),
    ("RestrictNamespaces=yes", "steps that run containers, browsers or bubblewrap"),
    ("RestrictRealtime=yes", ""),
    ("LockPersonality=yes", ""),
    ("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK", "other sockets, such as bluetooth or raw packets"),
    ("SystemCallArchitectures=native", "steps that run 32-bit programs"),
    ("SystemCallFilter=@system-service", "steps that mount, load modules or trace other programs"),
    ("SystemCallErrorNumber=EPERM", ""),
]
_OF_THE_SYSTEM = [
    ("CapabilityBoundingSet=", "steps that need a privilege: name it here and in AmbientCapabilities="),
    ("AmbientCapabilities=", ""),
    ("ProtectSystem=strict", "steps that write elsewhere: name the folder in ReadWritePaths="),
    ("PrivateTmp=yes", "steps that share /tmp with other programs"),
    ("PrivateDevices=yes", "steps that use a GPU or another device"),
    ("ProtectKernelTunables=yes", ""),
    ("ProtectKernelModules=yes", ""),
    ("ProtectKernelLogs=yes", "steps that read dmesg"),
    ("ProtectControlGroups=yes", ""),
    ("ProtectClock=yes", ""),
    ("ProtectHostname=yes", ""),
    ("RemoveIPC=yes", ""),
]


def _isolation(described: Described) -> list[str]:
    """MemoryDenyWriteExecute is not among it: node, java and every other program that compiles as it runs would die. Nor are
    ProtectProc and ProcSubset: loops that look after the host read /proc."""
    lines = ["# What the service and its steps may not do. Above each line stands what it hinders, if it may hinder any."]
    settings = [*_OF_THE_PROCESS]
    if not described.user:
        settings += _OF_THE_SYSTEM
        lines += _paths(described)
    for setting, hinders in settings:
        lines += [f"# Hinders {hinders}."] if hinders else []
        lines.append(setting)
    return [*lines, ""]


def _paths(described: Described) -> list[str]:
    outside = [] if described.store.is_relative_to(described.root) else [described.store]
    writable = [described.root, *outside]
    at_home = any(_is_at_home(path) for path in (*writable, *described.uses))
    return [
        f"ReadWritePaths={' '.join(_quoted(str(path)) for path in writable)}",
        "# Not `yes`: the project, or agentctl's Python, lies in a home." if at_home else "# Hinders steps that look into homes.",
        f"ProtectHome={'read-only' if at_home else 'yes'}",
    ]


def _is_at_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in _HOMES)


def _install(described: Described) -> list[str]:
    return ["[Install]", f"WantedBy={'default.target' if described.user else 'multi-user.target'}"]


def _manager(described: Described) -> str:
    return "--user " if described.user else ""


def _escaped(text: str) -> str:
    """`%` begins a specifier of systemd, a line cannot contain a line break, and one that ends with a backslash continues."""
    if "\n" in text or "\r" in text or text.endswith("\\"):
        raise ValueError(f"systemd cannot take a name with a line break, or with a backslash at its end: {text!r}")
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """One word of a list; systemd reads quotes as C does."""
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return escaped if re.fullmatch(r"[\w@%+=:,./$-]+", escaped, re.ASCII) else f'"{escaped}"'


def _argument(text: str) -> str:
    """One word of a command line, where `$` begins a variable."""
    return _quoted(text).replace("$", "$$")


def install_commands(described: Described) -> list[str]:
    """What to do next, for a shell."""
    manager = _manager(described)
    sudo = "" if described.user else "sudo "
    name = shlex.quote(described.name)
    linger = ["loginctl enable-linger  # so that it runs while nobody is logged in"] if described.user else []
    return [
        f"{sudo}systemctl {manager}daemon-reload",
        f"{sudo}systemctl {manager}enable --now {name}",
        f"systemctl {manager}status {name}",
        f"journalctl {manager}--unit {name} --follow",
        *linger,
    ]
