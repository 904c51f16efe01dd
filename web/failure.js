// What went wrong: the message is a sentence for the user.

export class Failure extends Error {
  // kind: from the Worker 'model', 'tokenizer', 'audio', 'device', 'network', 'aborted' or 'bug'; from the page 'lost'
  // (the GPU went away, the Worker lives), 'crash' (the Worker is gone), 'microphone' or 'files'.
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
