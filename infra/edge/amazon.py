"""Amazon SES's SendEmail and SNS's Publish to a phone, as much of them as a sender can notice.

That a request is signed is seen, by whom is not; neither is kept.
"""

import base64
import re
import uuid
from email import message_from_bytes
from email.policy import default
from xml.sax.saxutils import escape

from infra.edge import inbox
from infra.edge.asked import Answer, Asked
from infra.edge.smtp import keep

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/[0-9]{8}/[a-z0-9-]+/(ses|sns)/aws4_request, ?SignedHeaders=.+"
)
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST_SMS = 1600
_MOST_RECIPIENTS = 50


def ses(asked: Asked) -> Answer:
    """SESv2: a whole mail, as it is."""
    if not _SIGNED.fullmatch(asked.authorization):
        return _ses_error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    if asked.json is None:
        return _ses_error(400, "SerializationException", "no JSON object")
    try:
        raw = base64.b64decode(asked.json["Content"]["Raw"]["Data"], validate=True)
        to = [str(each) for each in asked.json["Destination"]["ToAddresses"]]
    except (KeyError, TypeError, ValueError):
        return _ses_error(400, "BadRequestException", "a raw mail and its destination are required")
    mail = message_from_bytes(raw, policy=default)
    if not mail["From"] or mail.defects or not 0 < len(to) <= _MOST_RECIPIENTS:
        return _ses_error(400, "BadRequestException", "the mail or its destination is malformed")
    keep(asked.box, raw, to, encrypted=True)
    return Answer(200, {"MessageId": str(uuid.uuid4())})


def ses_busy() -> Answer:
    """What SES says to whom it wants to come later."""
    return _ses_error(429, "TooManyRequestsException", "Too Many Requests")


def sns_busy() -> Answer:
    """What SNS says to whom it wants to come later."""
    return _sns_error(400, "Throttling", "Rate exceeded")


def _ses_error(status: int, code: str, message: str) -> Answer:
    return Answer(status, {"message": message}, {"x-amzn-ErrorType": code})


def sns(asked: Asked) -> Answer:
    """SNS's query API: Publish to a phone number."""
    if not _SIGNED.fullmatch(asked.authorization):
        return _sns_error(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    form = asked.form
    if form.get("Action") != "Publish":
        return _sns_error(400, "InvalidAction", "the action is not valid for this endpoint")
    number, text = form.get("PhoneNumber", ""), form.get("Message", "")
    if not _NUMBER.fullmatch(number):
        return _sns_error(
            400, "InvalidParameter", "Invalid parameter: PhoneNumber is not valid to publish to"
        )
    if not text.strip() or len(text.encode()) > _LONGEST_SMS:
        return _sns_error(400, "InvalidParameter", "Invalid parameter: Message is empty or too long")
    typed = _attributes(form)
    about = {
        "to": number,
        "type": typed.get("AWS.SNS.SMS.SMSType"),
        "sender": typed.get("AWS.SNS.SMS.SenderID"),
    }
    inbox.put(asked.box, "sms", text.partition("\n")[0], text, **about)
    result = f"<PublishResult><MessageId>{uuid.uuid4()}</MessageId></PublishResult>"
    return _xml(200, "PublishResponse", result)


def _attributes(form: dict[str, str]) -> dict[str, str]:
    names = (name for name in form if re.fullmatch(r"MessageAttributes\.entry\.[0-9]+\.Name", name))
    return {form[name]: form.get(f"{name.removesuffix('Name')}Value.StringValue", "") for name in names}


def _sns_error(status: int, code: str, message: str) -> Answer:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return _xml(status, "ErrorResponse", error)


def _xml(status: int, name: str, content: str) -> Answer:
    told = f"{content}<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    body = f'<{name} xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{told}</{name}>'
    return Answer(status, body, {"Content-Type": "text/xml"})
