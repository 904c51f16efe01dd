// The page begins here: with the service worker, so that it answers for all that follows.

import { takeControl } from "./control.js";

await takeControl();
import("./main.js").catch(() => dispatchEvent(new Event("unloaded")));
