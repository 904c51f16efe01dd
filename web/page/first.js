// The page begins here: with its words, and with the service worker, so that it answers for all that follows.

import { takeControl } from "./control.js";
import { ready } from "./words.js";

Promise.all([takeControl(), ready])
  .then(() => import("./main.js"))
  .catch(() => dispatchEvent(new Event("unloaded")));
