"""The table "to add" of the architecture: an action, a kind of trigger and a filter each touch their own files only.

The action is `examples/sqlite-action` (tests/examples/test_sqlite_action.py).
"""

from __future__ import annotations

import pytest
from waiting import eventually

from agentctl.expressions.filters import FILTERS
from agentctl.expressions.parse import parse_value

PACKAGE = {
    "pyproject.toml": """
        [project]
        name = "agentctl-marker"
        version = "1.0"
        [project.entry-points."agentctl.triggers"]
        marker = "agentctl_marker:MARKER"
        """,
    "agentctl_marker/__init__.py": """
        import msgspec
        from agentctl.spec import TriggerSpec

        class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
            greeting: str = "hello"

        MARKER = TriggerSpec(
            name="marker",
            schema={"type": "string", "description": "The file whose appearance starts a run."},
            keys={"greeting": {"type": "string", "description": "What the event says. Default: hello."}},
            settings=Settings,
            component="agentctl_marker.part:make",
            has_event=True,
        )
        """,
    "agentctl_marker/part.py": """
        import msgspec
        from agentctl_marker import Settings

        class Markers:
            name = "markers"

            def __init__(self, context):
                self.context = context

            async def begin(self):
                pass

            async def run(self):
                while True:
                    for stored, number, trigger in self.context.triggers("marker"):
                        settings = msgspec.convert(trigger.settings, Settings)
                        file = self.context.root / trigger.what
                        if file.exists():
                            data = {"text": file.read_text(), "greeting": settings.greeting}
                            await self.context.fire(stored, number, name="marker", data=data, id=file.read_text())
                    await self.context.clock.sleep_until(self.context.clock.now() + 0.05)

            def look(self):
                pass

        def make(context):
            return Markers(context)
        """,
}
LOOP = """
    loop: marked
    triggers: [{marker: ready, greeting: hi, input: {text: event.data.text}}]
    input: {text: {type: string}}
    steps: [{set: {said: "${{ event.data.greeting }} ${{ input.text }}"}}]
"""


@pytest.fixture
def package(project, install):
    for name, text in PACKAGE.items():
        project.write(f"package/{name}", text)
    install(project.root / "package")


def mark(project, text):
    project.write("aside", text).rename(project.root / "ready")  # whole, or not there


def test_a_kind_of_trigger_of_an_installed_package_starts_runs(project, agentctl, package):
    project.write("loops/marked.yaml", LOOP)
    agentctl.start("serve")
    mark(project, "one")

    def finished():
        return [row for row in agentctl("history", "--json").json if row["status"] == "succeeded"]

    [run] = eventually(finished)
    assert run["trigger"] == "marker"
    assert agentctl("show", run["run_id"], "--json").json["run"]["output"] == {"said": "hi one"}
    mark(project, "two")
    eventually(lambda: len(finished()) == 2)


def test_the_keys_of_such_a_trigger_are_checked(project, agentctl, package):
    project.write("loops/marked.yaml", LOOP.replace("greeting:", "greting:"))
    [problem, *_] = agentctl("validate", "loops/marked.yaml", "--json").json
    assert problem["code"] == "unknown-key"
    assert "greeting" in problem["message"]


def test_a_filter_is_a_function_in_the_table(monkeypatch):
    monkeypatch.setitem(FILTERS, "shout", lambda value: value.upper() + "!")
    assert parse_value("${{ name | shout }}").evaluate({"name": "ada"}) == "ADA!"
