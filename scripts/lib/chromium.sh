# The browser of the tests. Source it; it defines a function and changes nothing. Works with bash 3.2.

# Makes sure that Chromium and its driver are there: on Debian, where it may, it installs them; elsewhere it says how to.
ensure_chromium() {
  if _has_one_of chromium chromium-browser google-chrome && _has_one_of chromedriver chromium.chromedriver; then
    return 0
  fi
  if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then
      _install_chromium env
      return
    elif sudo -n true 2>/dev/null; then
      _install_chromium sudo -n env
      return
    fi
  fi
  cat >&2 <<'END'
The tests of Flower's pages need Chromium and its driver, and they are not on the PATH. Install them, for example with
`sudo apt-get install chromium chromium-driver` or `brew install --cask chromium chromedriver`.
END
  return 1
}

# Arguments: what runs a command as root.
_install_chromium() {
  local log
  log=$(mktemp)
  echo "installing Chromium and its driver (once, about 120 MB)" >&2
  if "$@" DEBIAN_FRONTEND=noninteractive apt-get update >"$log" 2>&1 &&
    "$@" DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      chromium chromium-driver fonts-dejavu-core >>"$log" 2>&1
  then
    rm -f "$log"
    return 0
  fi
  tail -n 15 "$log" >&2
  echo "installing Chromium failed; all of its output: $log" >&2
  return 1
}

_has_one_of() {
  local name
  for name in "$@"; do
    command -v "$name" >/dev/null 2>&1 && return 0
  done
  return 1
}
