"""A mail server that takes everything: the commands of RFC 5321 that a sender uses, and STARTTLS."""

import socket
import ssl
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from socketserver import StreamRequestHandler
from typing import ClassVar

from infra.edge import inbox
from infra.edge.faults import Faults

_LONGEST_LINE = 4096


class Session(StreamRequestHandler):
    """One connection."""

    timeout = 10
    box: ClassVar[Path]
    tls: ClassVar[ssl.SSLContext | None] = None
    faults: ClassVar[Faults] = Faults()

    def setup(self) -> None:
        """A new session knows no sender and no recipient."""
        super().setup()
        self.sender, self.recipients, self.encrypted = "", list[str](), False

    def finish(self) -> None:
        """Also close what STARTTLS put in place of the connection."""
        super().finish()
        self.connection.close()

    def handle(self) -> None:
        """Answer command after command until the other side goes."""
        self.say("220 edge ready")
        while line := self.rfile.readline(_LONGEST_LINE):
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            answer = getattr(self, f"on_{verb.lower()}", None)
            if answer is None:
                self.say("502 not known here")
            else:
                answer(rest)
            if verb.upper() == "QUIT":
                return

    def say(self, *lines: str) -> None:
        """Answer in one line or several."""
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
        self.wfile.flush()

    def on_ehlo(self, _name: str) -> None:
        """Who is there, and what is offered."""
        offers = ["STARTTLS"] if self.tls and not self.encrypted else []
        lines = ["edge", *offers, "8BITMIME"]
        self.say(*(f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines))

    def on_starttls(self, _nothing: str) -> None:
        """Go on encrypted."""
        if self.tls is None:
            self.say("502 no TLS here")
            return
        self.say("220 go ahead")
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.request, self.encrypted = self.connection, True
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")

    def on_mail(self, sender: str) -> None:
        """The sender; it begins a new mail."""
        self.sender, self.recipients = _address(sender), []
        self.say("250 ok")

    def on_rcpt(self, recipient: str) -> None:
        """One more recipient."""
        self.recipients.append(_address(recipient))
        self.say("250 ok")

    def on_data(self, _nothing: str) -> None:
        """The mail itself."""
        self.say("354 go ahead, a dot ends it")
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        fault = self.faults.next("email")
        if fault in {None, "mute"}:
            keep(self.box, b"".join(lines), self.recipients, encrypted=self.encrypted)
        if fault in {"gone", "mute"}:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.say("451 not now" if fault else "250 taken")

    def on_noop(self, _nothing: str) -> None:
        """Still there."""
        self.say("250 ok")

    def on_rset(self, _nothing: str) -> None:
        """Forget the mail that was begun."""
        self.sender, self.recipients = "", []
        self.say("250 ok")

    def on_quit(self, _nothing: str) -> None:
        """The end."""
        self.say("221 bye")


def keep(box: Path, raw: bytes, to: list[str], *, encrypted: bool) -> None:
    """Put a mail into the inbox: its plain text, and of its headers what says to whom and what it is."""
    mail = message_from_bytes(raw, policy=default)
    body = mail.get_body(("plain",))
    text = body.get_content().replace("\r\n", "\n") if body else ""
    about = {"to": to, "id": mail["Message-ID"], "encrypted": encrypted}
    if "List-Unsubscribe" in mail:
        about["unsubscribe"] = mail["List-Unsubscribe"]
    inbox.put(box, "email", mail["Subject"] or "", text, **about)


def _address(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]
