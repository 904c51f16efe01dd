// The engine of this page, which has one.

import { Engine } from "../engine.js";

export const engine = new Engine();
