# Sourced on the GPU machine, in the checkout, after `tools/gpu/unpack`: programs then find what was unpacked.
# VOXTAB_RIG_SOFTWARE=1 makes Chromium use its SwiftShader, to try this where there is no GPU.

export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}        # commands there may run without HOME
export VOXTAB_RIG=${VOXTAB_RIG:-$HOME/voxtab-rig}
checkout=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

export PATH=$checkout/tools/gpu/bin:$PATH
export PYTHONPATH=$checkout/app:$VOXTAB_RIG/python
export PYTHONUNBUFFERED=1
# Warnings are errors, and other plugins on the machine may warn.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
export PIP_NO_INDEX=1 PIP_FIND_LINKS=$VOXTAB_RIG/wheels
export LD_LIBRARY_PATH=$VOXTAB_RIG/drivers${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# The driver may be mounted where the Vulkan loader does not look.
if [ -z "${VK_DRIVER_FILES:-}" ]; then
  VK_DRIVER_FILES=$(find /usr/local -path '*/vulkan/icd.d/*.json' -print -quit 2>/dev/null || true)
  if [ -n "$VK_DRIVER_FILES" ]; then export VK_DRIVER_FILES; else unset VK_DRIVER_FILES; fi
fi
unset checkout
