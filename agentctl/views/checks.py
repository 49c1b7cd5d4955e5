"""Results of checks: problems of definitions, findings of `doctor`, test cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentctl import JSON
from agentctl.ports import Finding

if TYPE_CHECKING:
    from agentctl.language.problems import Problem


def problem_document(problem: Problem) -> dict[str, str | int]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
    }


def finding_document(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "status": finding.status, "message": finding.message, "fix": finding.fix}


def case_document(verdict: Any) -> dict[str, JSON]:
    return {
        "file": verdict.file,
        "line": verdict.line,
        "case": verdict.case,
        "outcome": "failed" if verdict.failures else "passed",
        "elapsed_ms": None if verdict.elapsed is None else round(verdict.elapsed * 1000),
        "duration_ms": round(verdict.seconds * 1000, 3),
        "crashes": verdict.crashes,
        "failures": [
            {
                "line": failure.line,
                "column": failure.column,
                "what": failure.what,
                "message": failure.message,
                "expected": failure.expected,
                "got": failure.got,
            }
            for failure in verdict.failures
        ],
        "steps": [{"path": path, "status": status, "runs": runs} for path, status, runs in verdict.steps],
    }
