"""Text messages by Amazon SNS, one a number.

Source: Amazon SNS API, Publish; 3GPP TS 23.038 (the alphabets and how they are counted).
"""

import re

from tasks.clients.channels.failures import Undeliverable
from tasks.clients.public.amazon import client, receipt
from tasks.clients.public.wording import checked, shortened
from tasks.clients.public.words import Words
from tasks.plan.plan import Plan
from tasks.plan.public_channels import PHONE_NUMBER, Sms

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_ESCAPED = frozenset("^{}\\[~]|€")
_GSM_SIZES = (160, 153)
_UCS2_SIZES = (70, 67)
# Typographic signs would make the whole message UCS-2, of less than half the length.
_PLAIN = str.maketrans(
    dict(zip("\u2018\u2019\u201c\u201d\u2013\u2014\u00a0\t", "''\"\"--  ", strict=True)) | {"\u2026": "..."}
)


def send(plan: Plan, settings: Sms, words: Words, number: str) -> str:
    """Send one message, cut to the plan's number of segments.

    SNS does not know a message again: what is sent twice arrives twice.

    Args:
        plan: the plan.
        settings: where it goes through, and its size.
        words: what is said.
        number: to whom, as in E.164.

    Returns:
        SNS's id of the message.

    Raises:
        Undeliverable: the number is none.
        Refused: the words are not fit for the public.
        Busy: throttled.
        Transient: no answer in time, or 5xx.
        Permanent: the message or the credentials are refused.
    """
    if not re.fullmatch(PHONE_NUMBER, number):
        raise Undeliverable("not a phone number", hint="write it as E.164 does, such as '+4930123456'")
    text = shortened(checked(words).translate(_PLAIN), lambda part: segments(part) <= settings.segments)
    attributes = {"AWS.SNS.SMS.SMSType": "Transactional"}
    if settings.sender:
        attributes["AWS.SNS.SMS.SenderID"] = settings.sender
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    with client(plan, settings, "sns", "sms", hidden=(number,)) as sns:
        answer = sns.publish(PhoneNumber=number, Message=text, MessageAttributes=typed)
        return receipt(answer)


def segments(text: str) -> int:
    """How many parts a phone is sent: each of 160 characters of GSM-7 or 70 of UCS-2, of less if several.

    A character of two units, which is an escaped one or a surrogate pair, is in one part with both.
    """
    gsm = all(each in _GSM or each in _GSM_ESCAPED for each in text)
    whole, part = _GSM_SIZES if gsm else _UCS2_SIZES
    units = [_gsm_units(each) if gsm else _ucs2_units(each) for each in text]
    if sum(units) <= whole:
        return 1
    count, room = 0, 0
    for size in units:
        if size > room:
            count, room = count + 1, part
        room -= size
    return count


def _gsm_units(character: str) -> int:
    return 2 if character in _GSM_ESCAPED else 1


def _ucs2_units(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1
