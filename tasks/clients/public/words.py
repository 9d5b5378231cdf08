"""What is said in public, whatever the channel."""

from dataclasses import dataclass

from tasks.plan.crisis import Phase


@dataclass(frozen=True)
class Words:
    """One notice about one incident, in one language.

    Attributes:
        key: the same for the same notice, however often it is tried.
        incident: the incident's id.
        phase: whether the service is disrupted, still is, or is restored.
        subject: one line.
        text: the whole of it, plain.
        language: as in "en" or "pt-BR".
    """

    key: str
    incident: str
    phase: Phase
    subject: str
    text: str
    language: str = "en"
