"""What a wheel holds: the engine with one of its two homes.

The wheel of `pip install` has the native home and the embedded model. The page's wheel (VOXTAB_WHEEL=page, which
tools/build_site sets) has the browser home alone: the site serves the embedded model separately.
"""

import os
import runpy

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class OneHome(BuildHookInterface):
    def initialize(self, version, build_data):
        if version == "editable":
            return
        page = os.environ.get("VOXTAB_WHEEL") == "page"
        left_out = ("native", "__main__.py") if page else ("browser",)
        self.build_config.target_config["exclude"] = [f"app/voxtab/{name}" for name in left_out]
        if not page:
            name = runpy.run_path("app/voxtab/resources.py")["EMBEDDED_MODEL"]
            for path in (name, "catalogue.json"):
                build_data["force_include"][f"web/models/{path}"] = f"voxtab/models/{path}"
