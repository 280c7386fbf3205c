# The tests, with a second try for few failures. Source it; it defines a function and changes nothing. Works with bash 3.2.

# Runs pytest with the given Python and arguments. Many tests start processes and wait for them, and on a machine that
# is busy with something else one of thousands may wait too short; so up to three that failed are tried once more, by
# themselves. What they said the first time stays in the output, and they are named at its end. More failures than that,
# or one that fails again, fail the whole.
run_tests() {
  local python=$1 status=0 failed
  shift
  "$python" -m pytest --cache-clear "$@" || status=$?
  # 1 is pytest's exit code for tests that failed; every other one is a matter of the whole run.
  [ "$status" = 1 ] || return "$status"
  failed=$("$python" -c 'import json; print(*json.load(open(".pytest_cache/v/cache/lastfailed")), sep="\n")') || return 1
  if [ "$(printf '%s\n' "$failed" | wc -l)" -gt 3 ]; then
    return 1
  fi
  printf '\ntried once more, by themselves:\n%s\n\n' "$failed"
  "$python" -m pytest --last-failed --last-failed-no-failures none "$@" --numprocesses 0 || return
  printf '\nfailed at first and passed by themselves (look at why):\n%s\n' "$failed"
}
