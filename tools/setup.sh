# Sourced by tools that set themselves up: brings a fresh Debian machine to where Voxtab runs, in .venv of the checkout.
# All it has to say goes to stderr. Where everything is there already it takes a few hundredths of a second.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
python=$root/.venv/bin/python
# Another environment may be active; ours knows its own paths.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV

say() { printf '%s\n' "$*" >&2; }

# from_debian PACKAGE...: install them; whoever calls has seen that they are missing.
from_debian() {
  if ! command -v apt-get >/dev/null; then
    say "Missing on this system, which has no apt-get to install it with: $*. Please install it and run this again."
    exit 1
  fi
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "Missing: $*. Please run as root: apt-get install $*"
      exit 1
    fi
    as_root=(sudo)
  fi
  say "Installing from Debian: $*"
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@")
  # A fresh machine has no package lists, an old one has outdated ones.
  "${install[@]}" >/dev/null 2>&1 && return
  if ! { "${as_root[@]}" apt-get update -qq && "${install[@]}"; } >&2; then
    say "Debian's $* could not be installed: see above."
    exit 1
  fi
}

has_library() { [[ $(/sbin/ldconfig -p) == *"$1"* ]]; }

vulkan_driver() {
  [ "$(uname)" = Linux ] || return 0            # elsewhere Metal or DirectX come with the system
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
    # Debian keeps ensurepip, which venv needs, in a package of its own.
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# voxtab_in_venv EXTRA: `pip install -e .`, or `.[EXTRA]`, unless that was done for this pyproject.toml.
voxtab_in_venv() {
  local extra=$1 stamp=$root/.venv/voxtab-installed key base
  key=$({ echo "$root"; cat "$root/pyproject.toml"; } | sha256sum)
  if [ -x "$python" ] && [ -f "$stamp" ]; then
    case $(<"$stamp") in "$key$extra" | "${key}dev") return ;; esac     # dev holds everything
  else
    base_python >/dev/null || from_debian python3 python3-venv
    if ! base=$(base_python); then
      say "Voxtab needs Python 3.11 or newer, and python3 is $(python3 --version 2>&1 || true)."
      exit 1
    fi
    say "Making $root/.venv"
    "$base" -m venv --clear "$root/.venv"
  fi
  say "Installing Voxtab there, and the Python packages it needs"
  "$python" -m pip install --quiet --disable-pip-version-check -e "$root${extra:+[$extra]}" >&2
  echo "$key$extra" >"$stamp"
}
