"""The project of the soak: what ticks, what events, webhooks and files start, and the limits that all of it is under."""

from __future__ import annotations

from pathlib import Path

SECRET = "whsec_c29hay1zb2FrLXNvYWstc29haw=="  # of the webhooks; made up
TICK = 1.0  # seconds

# What a run leaves outside: one line in a file of its definition.
_EFFECT = """
  - id: leave
    shell: printf '%s\\n' "$AGENTCTL_RUN_ID" >>effects/NAME.log"""
_ONCE = f"""{_EFFECT}
    effect: once"""
_PROBE = f"""{_ONCE}
    on_unknown:
      probe:
        - parse: json
          shell: |
            if grep -qx "$AGENTCTL_RUN_ID" effects/NAME.log; then echo '{{"done": true}}'; else echo '{{"done": false}}'; fi"""
_FAIL = f"""{_ONCE}
    on_unknown: fail"""
_NOTHING = """
  - set: {done: true}"""


def _wait(seconds: float) -> str:
    return f"\n  - wait: {round(seconds * 1000)}ms"


# name -> (further keys of the schedule, further keys of the definition, its steps)
TICKING: dict[str, tuple[str, str, str]] = {
    "tick-plain": ("", "", _NOTHING),
    "tick-jitter": ("jitter: 400ms", "", _NOTHING),
    "tick-catch-all": ("catch_up: all, max: 50", "", _NOTHING),
    "tick-catch-none": ("catch_up: none", "", _NOTHING),
    "tick-effect": ("", "", _EFFECT),
    "tick-probe": ("catch_up: all", "", _PROBE),
    "tick-once": ("", "", _FAIL),
    "tick-overlap-queue": ("overlap: queue", "", _wait(0.7)),
    "tick-overlap-skip": ("overlap: skip", "", _wait(1.4)),
    "tick-overlap-cancel": ("overlap: cancel_running", "", _wait(1.4)),
    "tick-one": ("catch_up: all", "concurrency: 1", _wait(0.4)),
    "tick-keyed": ("catch_up: all", "concurrency: {limit: 1, key: '${{ run.scheduled_at[:18] }}'}", _wait(0.6)),
    "tick-skip": ("", "concurrency: {limit: 1, on_limit: skip}", _wait(1.4)),
    "tick-cancel": ("", "concurrency: {limit: 2, on_limit: cancel_running}", _wait(3.3)),
    "tick-throttle": ("catch_up: all", "throttle: {limit: 5, per: 4s}", _NOTHING),
    "tick-rate": ("catch_up: all", "rate_limit: {limit: 2, per: 3s}", _NOTHING),
    "tick-dedupe": ("catch_up: all", "dedupe: {key: '${{ run.scheduled_at[:18] }}', for: 1h}", _NOTHING),
    "tick-priority": ("catch_up: all", "concurrency: 1\npriority: run.scheduled_at[18:19] | int", _wait(0.3)),
    "tick-retry": (
        "",
        "concurrency: 2",
        "\n  - retry: {attempts: 9, delay: 200ms, backoff: 1}\n    shell: test \"$AGENTCTL_ATTEMPT\" -ge 2",
    ),
    "tick-parent": ("", "", "\n  - skill: helper"),
}

_NUMBER = "input: {n: {type: integer}, key: {type: string, default: ''}}\n"

# What an event starts.  name -> (event, further keys of the trigger, further keys of the definition, steps)
STARTED: dict[str, tuple[str, str, str, str]] = {
    "on-plain": ("soak.plain", "", _NUMBER, _NOTHING),
    "on-tenth": ("soak.*", "if: event.data.n % 10 == 0", _NUMBER, _NOTHING),
    "on-effect": ("soak.effect", "", _NUMBER, _PROBE),
    "on-keyed": ("soak.keyed", "", _NUMBER + "concurrency: {limit: 2, key: '${{ input.key }}'}", _wait(0.05)),
    "on-throttled": ("soak.throttled", "", _NUMBER + "throttle: {limit: 36, per: 3s}", _NOTHING),
    "on-limited": ("soak.limited", "", _NUMBER + "rate_limit: {limit: 3, per: 2s, key: '${{ input.key }}'}", _NOTHING),
    "on-deduped": ("soak.deduped", "", _NUMBER + "dedupe: {key: '${{ input.key }}', for: 4s}", _NOTHING),
    "on-batched": ("soak.batched", "", "batch: {size: 10, for: 1s, key: '${{ event.data.key }}'}", _NOTHING),
    "on-debounced": ("soak.debounced", "", _NUMBER + "debounce: {for: 600ms, key: '${{ input.key }}'}", _NOTHING),
    "on-asked": (
        "soak.asked",
        "",
        _NUMBER,
        "\n  - id: answer\n    wait: {event: soak.answer, if: event.data.n == input.n}"
        "\n  - set: {answered: '${{ steps.answer.output.id }}'}",
    ),
}

# path of the webhook -> scheme of its signature
HOOKED = {"standard": "standard", "github": "github", "digest": "hmac-sha256"}

PAUSED = "tick-jitter"  # now and then

BY_HAND = """loop: by-hand
concurrency: 3
steps:
  - approve: may it?
  - id: leave
    effect: once
    on_unknown: fail
    shell: printf '%s\\n' "$AGENTCTL_RUN_ID" >>effects/by-hand.log
"""

CHURNED = ("churn-a", "churn-b", "churn-c", "churn-d")

# Definitions whose runs must not lie beside each other: name -> (how many, the part of the scheduled slot that is the key)
PLACES = {
    "tick-overlap-queue": (1, None),
    "tick-overlap-skip": (1, None),
    "tick-overlap-cancel": (1, None),
    "tick-one": (1, None),
    "tick-keyed": (1, 18),
    "tick-skip": (1, None),
    "tick-cancel": (2, None),
    "tick-priority": (1, None),
    "tick-retry": (2, None),
    "helper": (1, None),
    "by-hand": (3, None),
}


def write(root: Path) -> None:
    for folder in ("loops", "skills", "effects", "inbox"):
        (root / folder).mkdir()
    (root / "agentctl.yaml").write_text("vars: {}\n")
    for name, (schedule, keys, steps) in TICKING.items():
        triggers = f"{{every: {TICK:g}s, {schedule}}}" if schedule else f"{{every: {TICK:g}s}}"
        definition(root, name, triggers, keys, steps)
    for name, (event, trigger, keys, steps) in STARTED.items():
        definition(root, name, f"{{event: '{event}', {trigger}}}" if trigger else f"{{event: '{event}'}}", keys, steps)
    for path, scheme in HOOKED.items():
        trigger = f"{{webhook: /{path}, scheme: {scheme}, secret: '${{{{ secrets.SOAK }}}}'}}"
        definition(root, f"hook-{path}", trigger, "", _NOTHING)
    definition(root, "on-file", "{file: 'inbox/*.json', on: [created]}", "", _NOTHING)
    for name in CHURNED:
        churned(root, name, 0)
    (root / "loops/by-hand.yaml").write_text(BY_HAND)
    (root / "skills/helper.yaml").write_text(f"skill: helper\nconcurrency: 1\nsteps:{_wait(0.1)}\n")


def definition(root: Path, name: str, trigger: str, keys: str, steps: str) -> None:
    (root / f"loops/{name}.yaml").write_text(
        f"loop: {name}\ntriggers:\n  - {trigger}\n{keys}\nsteps:{steps.replace('NAME', name)}\n"
    )


def churned_text(name: str, version: int) -> str:
    return f"loop: {name}\ntriggers: [{{event: soak.churn}}]\nsteps:\n  - set: {{version: {version}}}\n"


def churned(root: Path, name: str, version: int) -> None:
    (root / f"loops/{name}.yaml").write_text(churned_text(name, version))


def stop_ticking(root: Path) -> None:
    """A loop whose file is gone is triggered no more; its runs go on."""
    for name in TICKING:
        (root / f"loops/{name}.yaml").unlink()
