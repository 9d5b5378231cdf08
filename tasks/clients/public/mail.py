"""Mail to one subscriber, by SMTP or Amazon SES: nobody sees another's address.

Source: RFC 5322, RFC 2369 (List-Unsubscribe), RFC 3834 (Auto-Submitted); Amazon SES API v2, SendEmail.
"""

import hashlib
import re
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from tasks.clients.channels.failures import Undeliverable, told
from tasks.clients.channels.mail import domain_of, hand_over
from tasks.clients.public.amazon import client, receipt
from tasks.clients.public.wording import BLOCK, checked
from tasks.clients.public.words import Words
from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.plan.public_channels import Amazon, PublicEmail

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_LONGEST_ADDRESS = 254


def send(plan: Plan, settings: PublicEmail, words: Words, recipient: str) -> str:
    """Send one mail, whose Message-ID is the same for the same notice to the same recipient.

    Args:
        plan: the plan.
        settings: from whom, and which way.
        words: what is said.
        recipient: one address.

    Returns:
        its Message-ID, or SES's id of it.

    Raises:
        Undeliverable: the address is none.
        Refused: the words are not fit for the public.
        Busy: SES throttles.
        Transient: no answer in time, 4yz or 5xx.
        Permanent: 5yz, no TLS to a smarthost elsewhere, or SES refuses.
    """
    if not _ADDRESS.fullmatch(recipient) or len(recipient) > _LONGEST_ADDRESS or "=?" in recipient:
        hint = "write one address in ASCII, a domain of other letters as xn--..."
        raise Undeliverable("not a mail address", hint=hint)
    mail = _mail(settings, words, recipient)
    if settings.ses:
        return _by_ses(plan, settings.ses, mail, recipient)
    if settings.smtp is None:
        raise Permanent(f"the plan has neither smtp nor ses in {BLOCK}.email")
    return hand_over(
        plan, settings.smtp, mail, told_by=lambda secrets: told("email", [*secrets, recipient], BLOCK)
    )


def mail_id(settings: PublicEmail, key: str, recipient: str) -> str:
    """The Message-ID of a notice's mail to a recipient: always the same.

    It is a digest: an id is quoted in other mails and logs, and tells nobody's address there.
    """
    digest = hashlib.sha256(f"{key}\0{recipient}".encode()).hexdigest()[:40]
    return f"<{digest}@{domain_of(settings.sender)}>"


def _by_ses(plan: Plan, ses: Amazon, mail: EmailMessage, recipient: str) -> str:
    with client(plan, ses, "sesv2", "email", hidden=(recipient,)) as sesv2:
        answer = sesv2.send_email(
            FromEmailAddress=str(mail["From"]),
            Destination={"ToAddresses": [recipient]},
            Content={"Raw": {"Data": mail.as_bytes(policy=SMTP)}},
        )
        return receipt(answer)


def _mail(settings: PublicEmail, words: Words, recipient: str) -> EmailMessage:
    subject, _, text = checked(words).partition("\n")
    mail, domain = EmailMessage(), domain_of(settings.sender)
    mail["From"], mail["To"], mail["Subject"] = settings.sender, recipient, subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = mail_id(settings, words.key, recipient)
    # What shows all mails of one incident as one thread.
    thread = hashlib.sha256(words.incident.encode()).hexdigest()[:40]
    mail["References"] = f"<{thread}@{domain}>"
    mail["Auto-Submitted"], mail["Content-Language"] = "auto-generated", words.language
    if settings.unsubscribe:
        mail["List-Unsubscribe"] = f"<{settings.unsubscribe}>"
    # Seven bits only: whatever server is on the way takes it.
    mail.set_content(text, cte="quoted-printable")
    return mail
