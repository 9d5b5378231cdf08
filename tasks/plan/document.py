"""Reading a plan file as a stranger's: plain YAML, and nothing that YAML can be made to do."""

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from tasks.errors import Refused
from tasks.plan.mistakes import Mistake, PlanRefused

LARGEST_BYTES = 1024 * 1024
DEEPEST = 12
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")}
_FILE = "file"


class _Reader(Composer, yaml.CSafeLoader):
    """Composes plain nodes only, and notes with its path whatever is not plain.

    libyaml parses in a tenth of PyYAML's own time, and every command begins with it.
    """

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)
        self.mistakes: list[Mistake] = []
        self._path: list[str] = []

    def note(self, wrong: str, allowed: str) -> None:
        self.mistakes.append(Mistake(".".join(self._path) or _FILE, wrong, allowed))

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if parent is None:
            return self._plain(parent, index)
        self._path.append(_step(index))
        try:
            return self._plain(parent, index)
        finally:
            self._path.pop()

    def _plain(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self.get_event()
            self.note("a YAML alias", "write the value out")
            return self._nothing(event)
        if event.anchor is not None:
            self.note("a YAML anchor", "write the value out where it is needed")
            event.anchor = None
        if len(self._path) > DEEPEST:
            raise PlanRefused(
                "the plan", [Mistake(".".join(self._path), "nested too deep", f"{DEEPEST} levels")]
            )
        node = super().compose_node(parent, index)
        if node is not None and node.tag not in _PLAIN:
            self.note("a YAML type of its own", "texts, numbers, true and false; quote texts")
            return self._nothing(event)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            self._path.append(_step(key))
            if key.tag != _TEXT:
                self.note("a key that is not a text", "texts as keys; quote what YAML would read otherwise")
            elif key.value in pairs:
                self.note("a duplicate key", "each key once")
            else:
                pairs[key.value] = (key, value)
            self._path.pop()
        node.value = list(pairs.values())
        return node

    def _nothing(self, event: Any) -> yaml.ScalarNode:
        return yaml.ScalarNode("tag:yaml.org,2002:null", "null", event.start_mark, event.end_mark)


def _step(index: Any) -> str:
    """One step of a path: a key's text or an item's index; keys themselves have none."""
    return (
        str(index.value)
        if isinstance(index, yaml.ScalarNode)
        else str(index)
        if isinstance(index, int)
        else "?"
    )


def read_document(path: Path) -> tuple[dict[Any, Any], list[Mistake]]:
    """The mapping in a file, and the mistakes that do not hinder reading the rest.

    Raises:
        PlanRefused: it cannot be read as one YAML mapping at all.
    """
    text = _text(path)
    try:
        reader = _Reader(text)
        data = reader.get_single_data()
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        raise _refused(path, *_syntax(error)) from None
    except (ValueError, OverflowError):
        raise _refused(
            path, _FILE, "a number that cannot be read", "quote texts that look like numbers"
        ) from None
    if not isinstance(data, dict):
        raise _refused(path, _FILE, "not a mapping", "the plan's blocks, each under its key")
    return data, reader.mistakes


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise Refused(f"the plan {path} cannot be read", error.strerror or "", "name a plan file") from error
    if len(raw) > LARGEST_BYTES:
        raise _refused(path, _FILE, "too large", "1 MiB at most")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _refused(path, _FILE, "begins with a byte order mark", "UTF-8 without one")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(path, _FILE, f"not UTF-8 at byte {error.start}", "UTF-8") from error


def _syntax(error: yaml.YAMLError) -> tuple[str, str, str]:
    """Where the parser stopped, and why; it repeats no line of the file, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else _FILE
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", "unreadable"))
    if "but found another document" in problem:
        return where, "a second document", "one document a file"
    return where, f"not YAML: {problem}", "plain YAML in UTF-8"


def _refused(path: Path, where: str, wrong: str, allowed: str) -> PlanRefused:
    return PlanRefused(path.name, [Mistake(where, wrong, allowed)])
