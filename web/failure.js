// What went wrong, for the user.

export class Failure extends Error {
  // kind: what the Worker says ('model', 'tokenizer', 'audio', 'device', 'network', 'aborted', 'bug'), or the page:
  // 'lost' (the GPU went away; the Worker lives), 'crash' (the Worker is gone), 'microphone' or 'files'.
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
