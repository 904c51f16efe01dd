"""What the wheel takes along: the embedded model, except in the page, which serves it beside the wheel."""

import os
import runpy

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EmbeddedModel(BuildHookInterface):
    def initialize(self, version, build_data):
        if os.environ.get("VOXTAB_WHEEL") == "page" or version == "editable":
            return
        name = runpy.run_path("app/voxtab/resources.py")["EMBEDDED_MODEL"]
        build_data["force_include"][f"web/models/{name}"] = f"voxtab/models/{name}"
