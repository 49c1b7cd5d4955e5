"""Where only text can be, a plain number of the file goes out as it is written."""

from __future__ import annotations


def test_numbers_in_env_argv_stdin_are_the_text_as_written(project, agentctl):
    project.write(
        "loops/numbers.yaml",
        """
        loop: numbers
        steps:
          - {id: env, env: {A: 3.10, B: 0644, C: 1e3, D: 0x1F, E: True}, shell: 'echo "$A $B $C $D $E"'}
          - {id: inside, shell: {run: 'echo "$A"; cat', env: {A: 2.50}, stdin: 1.0}}
          - {id: argv, shell: [echo, 3.10, 007, 1e3, 12_000]}
          - {id: alias, env: {A: &version 3.10, B: *version}, shell: 'echo "$A $B"'}
          - {id: stdin, shell: [cat], stdin: {a: 3.10}}
          - {id: computed, shell: [echo, "${{ 3.10 }}"]}
        output: ["${{ steps.env.output }}", "${{ steps.inside.output }}", "${{ steps.argv.output }}", "${{ steps.alias.output }}",
                 "${{ steps.stdin.output }}", "${{ steps.computed.output }}"]
        """,
    )
    assert agentctl("run", "numbers", "--json").json["output"] == [
        "3.10 0644 1e3 0x1F True",
        "2.50\n1.0",
        "3.10 007 1e3 12_000",
        "3.10 3.10",
        '{"a":3.1}',
        "3.1",
    ]
