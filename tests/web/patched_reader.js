// weights/reader.js where the Worker that checks pieces cannot be loaded.
self.Worker = class extends Worker {
  constructor(url, options) {
    super(new URL("gone.js", url), options);
  }
};

const waiting = []; // what comes while reader.js is loaded
self.onmessage = (event) => waiting.push(event);
await import("./reader.js");
for (const event of waiting) self.onmessage(event);
