"""Cases played in virtual time. `passes` plays each also with a crash around every event."""

from __future__ import annotations

FETCH = """
steps:
  - id: fetch
    http: {url: "http://nowhere.internal/"}
    retry: {attempts: 3, delay: 10s, jitter: 0}
    timeout: 1m
"""


def test_a_mock_stands_for_the_step(passes):
    [verdict] = passes(FETCH, "cases: [{case: x, mocks: {fetch: {output: {status: 200}}}, expect: {output: {status: 200}}}]")
    assert verdict.steps == [("fetch", "succeeded", 1)]
    assert verdict.crashes > 0


def test_a_list_of_outcomes_is_for_one_attempt_after_the_other(passes):
    passes(
        FETCH,
        """
        mocks: {fetch: [{error: http.status.503}, {error: http.connect}, {output: ok}]}
        cases: [{case: x, expect: {output: ok, elapsed: {exactly: 30s, tolerance: 1ms}, steps: {fetch: {attempts: 3, runs: 3}}}}]
        """,
    )


def test_an_attempt_that_takes_longer_than_the_timeout_has_timed_out(passes):
    passes(
        FETCH,
        """
        mocks: {fetch: [{output: late, takes: 2m}, {output: ok, takes: 1m}]}
        cases: [{case: x, expect: {output: ok, elapsed: 2m10s}}]
        """,
    )


def test_retry_after_of_a_mock_is_waited_for(passes):
    passes(FETCH, "cases: [{case: x, mocks: {fetch: [{error: http.status.429, retry_after: 5m}, {}]}, expect: {elapsed: 5m}}]")


def test_days_of_waiting_take_no_time(passes):
    [verdict] = passes(
        "steps: [{wait: 3d}, {wait: {until: '2026-02-01T00:00:00Z'}}]",
        "cases: [{case: x, start: '2026-01-01T00:00:00Z', expect: {elapsed: 31d}}]",
    )
    assert verdict.elapsed == 31 * 86400
    assert verdict.seconds < 5


def test_the_most_exact_mock_counts_and_a_case_wins_over_its_file(passes):
    passes(
        """
        steps:
          - id: each
            foreach: [1, 2, 3]
            steps: [{id: send, shell: [mail, "${{ item }}"]}]
        """,
        """
        mocks: {"each[1].send": {output: one}, "each[*].send": {output: any}}
        cases:
          - {case: a, expect: {output: [any, one, any]}}
          - {case: b, mocks: {"each[*].send": {output: all}}, expect: {output: [all, one, all]}}
        """,
    )


def test_a_path_without_rounds_means_every_round_of_a_retried_group(passes):
    passes(
        """
        steps:
          - id: both
            retry: {attempts: 2, jitter: 0}
            steps: [{id: a, shell: [a]}, {id: b, shell: [b]}]
        """,
        """
        mocks: {both.a: {}, both.b: {error: shell.exit}, both@2.b: {output: well}}
        cases: [{case: x, expect: {output: well, steps: {both.a: {runs: 2}, both.b: succeeded, both@2.b: {runs: 1}}}}]
        """,
    )


def test_a_skill_is_really_interpreted_and_its_steps_are_mocked_below_it(passes):
    passes(
        "steps: [{id: ask, skill: answer, with: {n: 2}}]",
        """
        cases:
          - case: through and through
            mocks: {ask/think: {output: 21, takes: 1h, usage: {input_tokens: 5, output_tokens: 6}}}
            expect: {output: {is: 42}, elapsed: 1h, order: [ask, ask/think, ask/twice], steps: {ask/twice: {input: {is: 42}}}}
        """,
        answer="""
        input: {n: {type: integer}}
        steps:
          - {id: think, llm: {prompt: what is half}}
          - {id: twice, set: {is: "${{ input.n * steps.think.output }}"}}
        """,
    )


def test_a_skill_that_is_mocked_is_not_run(passes):
    passes(
        "steps: [{id: ask, skill: answer}]",
        """
        cases:
          - {case: well, mocks: {ask: {output: 1, takes: 5m}}, expect: {output: 1, elapsed: 5m}}
          - case: badly
            mocks: {ask: {error: {type: shell.exit, message: no luck}}}
            expect: {error: {type: skill.failed, message: no luck}}
          - {case: not at all, mocks: {ask: {error: skill.not_found}}, expect: {error: skill.not_found}}
        """,
        answer="steps: [{shell: x}]\n",
    )


def test_a_detached_skill_is_joined_by_its_run(passes):
    loop = """
    steps:
      - {id: go, skill: answer, detach: true}
      - {wait: 1h}
      - {id: join, wait: {run: "${{ steps.go.output.run_id }}"}}
    """
    test = """
    cases:
      - {case: interpreted, mocks: {go/x: {output: 7, takes: 2h}}, expect: {output: 7, elapsed: 2h}}
      - {case: mocked, mocks: {go: {output: 8, takes: 3h}}, expect: {output: 8, elapsed: 3h}}
      - {case: joined, mocks: {go: {}, join: {output: 9}}, expect: {output: 9}}
    """
    passes(loop, test, answer="steps: [{id: x, shell: x}]\n")


def test_events_come_at_their_times_and_kept_ones_are_found(passes):
    passes(
        """
        steps:
          - {wait: 1d}
          - {id: paid, wait: {event: "payment.*", if: event.data.n == 2, timeout: 9d}}
          - {id: late, wait: {event: payment.late, timeout: 2d, on_timeout: continue}}
        output: ${{ steps.paid.output.data.n }}
        """,
        """
        cases:
          - {case: kept, events: [{event: payment.received, data: {n: 2}}], expect: {output: 2, elapsed: 3d}}
          - case: awaited
            events: [{at: 2d, event: payment.received, data: {n: 1}}, {at: 3d, event: payment.received, data: {n: 2}}]
            expect: {output: 2, elapsed: 5d}
          - {case: never, expect: {error: wait.timeout, elapsed: 10d}}
        """,
    )


def test_a_step_looks_at_the_headers_of_a_delivery(passes):
    passes(
        """
        triggers: [{webhook: /github, scheme: none}]
        steps:
          - {id: pushed, if: 'event.headers["x-github-event"] == "push"', set: {ref: "${{ event.data.ref }}"}}
        """,
        """
        cases:
          - case: a push
            event: {event: agentctl.webhook.github, data: {ref: main}, headers: {x-github-event: push}}
            expect: {output: {ref: main}}
          - case: something else
            event: {event: agentctl.webhook.github, data: {}, headers: {x-github-event: ping}}
            expect: {steps: {pushed: {status: skipped}}}
        """,
    )


def test_an_event_that_a_step_emits_is_heard(passes):
    passes(
        "steps: [{emit: {event: done, data: {n: 1}}}, {id: hear, wait: {event: done}}]\noutput: ${{ steps.hear.output.data.n }}",
        "cases: [{case: x, expect: {output: 1}}]",
    )


def test_people_answer_approvals_at_once_or_at_a_time(passes):
    passes(
        "steps: [{wait: 1h}, {id: sign, approve: {message: Pay, timeout: 2d, form: {sum: {type: integer, default: 1}}}}]",
        """
        cases:
          - {case: at once, approvals: [{step: sign, by: ann, data: {sum: 3}}],
             expect: {elapsed: 1h, output_includes: {by: ann, data: {sum: 3}}}}
          - {case: later, approvals: [{step: sign, at: 1d}], expect: {elapsed: 1d, output_includes: {data: {sum: 1}}}}
          - {case: rejected, approvals: [{step: sign, approved: false, comment: too much}],
             expect: {error: {type: approval.rejected, message: too much}}}
          - {case: nobody, expect: {error: approval.timeout}}
        """,
    )


def test_a_run_that_nothing_moves_any_more_waits(passes):
    passes("steps: [{id: sign, approve: Pay}]", "cases: [{case: x, expect: {status: waiting, steps: {sign: waiting}}}]")


def test_an_unknown_outcome_blocks_until_somebody_has_looked(passes):
    passes(
        "steps: [{id: charge, shell: [charge], effect: once, timeout: 1m}]",
        """
        mocks: {charge: {output: paid, takes: 1h}}
        cases:
          - {case: blocked, expect: {status: blocked, steps: {charge: unknown}}}
          - {case: done, resolve: [{step: charge, as: done, output: 5, at: 2h}], expect: {output: 5, elapsed: 2h}}
          - {case: failed, resolve: [{step: charge, as: failed}], expect: {error: step.unknown_outcome}}
        """,
    )


def test_a_cancel_stops_what_is_under_way_and_undoes_what_was_done(passes):
    passes(
        """
        steps:
          - {id: book, shell: [book], undo: {shell: [unbook]}}
          - {id: long, shell: [work]}
        """,
        """
        mocks: {book: {}, book.undo: {}, long: {takes: 8h}}
        cases:
          - case: x
            cancel: 2h
            expect: {status: cancelled, elapsed: 2h, order: [book, long, book.undo], steps: {long: cancelled}}
        """,
    )


def test_a_result_under_an_idempotency_key_is_reused_within_the_case(passes):
    passes(
        """
        steps:
          - id: each
            foreach: [a, a, b]
            max_parallel: 3
            steps: [{id: pay, shell: [pay], idempotency_key: "${{ item }}"}]
        """,
        """
        mocks: {"each[*].pay": {output: paid, takes: 1m}}
        cases: [{case: x, expect: {output: [paid, paid, paid], steps: {"each[*].pay": {runs: 2}, "each[1].pay": reused}}}]
        """,
    )


def test_what_the_definition_remembers_and_what_it_is_given(passes):
    passes(
        """
        input: {a: {type: integer, default: 1}}
        steps:
          - {remember: {seen: "${{ state.seen + 1 }}"}}
          - {set: {a: "${{ input.a }}", b: "${{ vars.b }}", seen: "${{ state.seen }}", by: "${{ event.name }}", at: "${{ now }}"}}
        """,
        """
        state: {seen: 4}
        vars: {b: file}
        cases:
          - case: x
            input: {a: 2}
            vars: {b: case}
            start: "2030-01-01T00:00:00Z"
            event: {event: go}
            expect:
              output: {a: 2, b: case, seen: 4, by: go, at: "2030-01-01T00:00:00.000Z"}
              steps: {remember_1: {output: {seen: 5}}}
        """,
    )


def test_secrets_exist_as_the_case_says_and_travel_as_references(passes):
    loop = """
    steps:
      - {id: call, http: {url: x, headers: {auth: "Bearer ${{ secrets.TOKEN }}"}}}
      - {id: hook, if: secrets.HOOK is defined, shell: [x]}
    """
    passes(
        loop,
        """
        mocks: {call: {}, hook: {}}
        cases:
          - case: those that are needed
            expect: {steps: {hook: skipped, call: {input_includes: {headers: {auth: "Bearer ${{ secrets.TOKEN }}"}}}}}
          - {case: both, secrets: {TOKEN: a, HOOK: b}, expect: {steps: {hook: succeeded}}}
          - {case: none, secrets: {}, expect: {error: {type: expression, message: TOKEN}}}
        """,
    )


def test_an_allowed_action_really_runs_with_the_secrets_of_the_case(passes):
    passes(
        """
        steps:
          - {id: say, shell: 'echo "$T" | tr a-z A-Z; cat agentctl.yaml', env: {T: "${{ secrets.T }}"}}
          - {id: fail, shell: "exit 3", continue_on_error: true}
          - {id: ask, llm: {prompt: x}}
        """,
        """
        allow: [shell]
        secrets: {T: hush-hush}
        mocks: {ask: {output: mocked}}
        cases:
          - case: x
            expect:
              output: mocked
              steps:
                say: {output: "HUSH-HUSH\\nvars: {}"}
                fail: {error: {data: {exit_code: 3}}}
        """,
    )
