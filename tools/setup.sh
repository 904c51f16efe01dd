# Functions for tools that set themselves up. They install what is missing on a fresh Debian machine, and Voxtab in .venv
# of the checkout. Messages go to stderr. If nothing is missing, this takes a few hundredths of a second.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
python=$root/.venv/bin/python
# Another Python environment may be active, and its paths must not mix with ours.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV

say() { printf '%s\n' "$*" >&2; }

# from_debian PACKAGE...: install packages that the caller found missing.
from_debian() {
  if ! command -v apt-get >/dev/null; then
    say "Missing: $*. This system has no apt-get: please install them another way, and run this again."
    exit 1
  fi
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "Missing: $*. Please run as root, then run this again: apt-get install $*"
      exit 1
    fi
    as_root=(sudo)
  fi
  say "Installing from Debian: $*"
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@")
  # If the package lists are missing or old, update them and try again.
  "${install[@]}" >/dev/null 2>&1 && return
  if ! { "${as_root[@]}" apt-get update -qq && "${install[@]}"; } >&2; then
    say "apt-get could not install $*: its messages are above."
    exit 1
  fi
}

has_library() { [[ $(/sbin/ldconfig -p) == *"$1"* ]]; }

vulkan_driver() {
  [ "$(uname)" = Linux ] || return 0            # other systems come with Metal or DirectX
  has_library libvulkan.so.1 || from_debian libvulkan1
  [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 0
  local folder
  for folder in /etc /usr/share /usr/local/share; do
    compgen -G "$folder/vulkan/icd.d/*.json" >/dev/null && return
  done
  from_debian mesa-vulkan-drivers               # lavapipe: Vulkan on any CPU
}

base_python() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    # venv needs ensurepip, which Debian has in a package of its own.
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# voxtab_in_venv EXTRA: `pip install -e .`, or `.[EXTRA]`, unless it was done before with this pyproject.toml.
voxtab_in_venv() {
  local extra=$1 stamp=$root/.venv/voxtab-installed key base
  key=$({ echo "$root"; cat "$root/pyproject.toml"; } | sha256sum)
  if [ -x "$python" ] && [ -f "$stamp" ]; then
    case $(<"$stamp") in "$key$extra" | "${key}dev") return ;; esac     # dev has everything
  else
    base_python >/dev/null || from_debian python3 python3-venv
    if ! base=$(base_python); then
      say "Voxtab needs Python 3.11 or newer, but python3 is $(python3 --version 2>&1 || echo missing)."
      exit 1
    fi
    say "Making $root/.venv"
    "$base" -m venv --clear "$root/.venv"
  fi
  say "Installing Voxtab and the Python packages that it needs"
  "$python" -m pip install --quiet --no-compile --disable-pip-version-check -e "$root${extra:+[$extra]}" >&2
  echo "$key$extra" >"$stamp"
}
