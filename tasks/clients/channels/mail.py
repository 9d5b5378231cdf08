"""Mail by SMTP through the plan's smarthost."""

import smtplib
import ssl
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from email.message import EmailMessage
from email.utils import formatdate
from functools import partial

from tasks.clients.channels.failures import TIMEOUT_S, Answered, told
from tasks.clients.channels.message import Message
from tasks.clients.channels.trust import trusted
from tasks.errors import Permanent
from tasks.plan.communication import Email, Smtp
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret

Telling = Callable[[Iterable[str]], AbstractContextManager[None]]


def send(plan: Plan, message: Message) -> str:
    """Send one mail, over TLS unless the smarthost is on this machine and has none.

    Returns:
        its Message-ID, the same for the same stage of the same incident.

    Raises:
        Transient: no answer in time, or 4yz.
        Permanent: 5yz, or no TLS to a smarthost elsewhere.
    """
    settings = plan.notifications.email
    if settings is None:
        raise Permanent("the plan has no notifications.email")
    mail = _mail(settings, message)
    return hand_over(plan, settings, mail, told_by=partial(told, "email"))


def hand_over(plan: Plan, smtp: Smtp, mail: EmailMessage, told_by: Telling) -> str:
    """Give a mail to the smarthost for all whom its headers name.

    Args:
        plan: the plan.
        smtp: the smarthost.
        mail: the whole mail.
        told_by: what turns failures into our errors, given the secrets that none repeats.

    Returns:
        its Message-ID.

    Raises:
        Transient: no answer in time, or 4yz.
        Permanent: 5yz, or no TLS to a smarthost elsewhere.
    """
    host, _, port = smtp.smarthost.rpartition(":")
    password = read_secret(plan.folder, smtp.password) if smtp.password else ""
    # The name to greet with is given: by default it would be asked of a DNS that may be gone.
    greeting = domain_of(str(mail["From"]))
    with told_by([password]):
        try:
            with smtplib.SMTP(host, int(port), local_hostname=greeting, timeout=TIMEOUT_S) as server:
                _encrypt(server, plan, smtp)
                if smtp.user:
                    server.login(smtp.user, password)
                server.send_message(mail)
        except smtplib.SMTPException as error:
            raise _answered(error) from None
    return str(mail["Message-ID"])


def domain_of(address: str) -> str:
    """What is behind the @."""
    return address.rpartition("@")[2]


def _mail(settings: Email, message: Message) -> EmailMessage:
    mail, domain = EmailMessage(), domain_of(settings.sender)
    mail["From"], mail["To"], mail["Subject"] = settings.sender, settings.to, message.subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.dedup_key}.{message.stage}@{domain}>"
    # What shows all mails of one incident as one thread.
    mail["References"] = f"<{message.incident}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


def _encrypt(server: smtplib.SMTP, plan: Plan, settings: Smtp) -> None:
    server.ehlo_or_helo_if_needed()
    local = settings.on_this_machine
    if server.has_extn("starttls"):
        server.starttls(context=_unproven() if local else trusted(plan))
    elif not local:
        hint = "mail leaves this machine over TLS only: name a smarthost that offers STARTTLS"
        raise Permanent(f"the smarthost {settings.smarthost} offers no TLS", hint=hint)


def _unproven() -> ssl.SSLContext:
    """For this machine's own mail server, whose certificate nobody signed; nobody is in between either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _answered(error: smtplib.SMTPException) -> Exception:
    """SMTP's codes: 4yz may pass, 5yz does not."""
    said: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, said = error.smtp_code, error.smtp_error
    elif isinstance(error, smtplib.SMTPNotSupportedError):
        code, said = 500, str(error)
    else:
        return error
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return Answered(f"{code} {words}", passing=not 500 <= code < 600)
