// What went wrong: the message is a sentence for the user.

export class Failure extends Error {
  // kind: in the Worker's answers 'model', 'tokenizer', 'audio', 'device', 'network', 'kept' (the store does not have all
  // of a model), 'aborted' or 'bug'; in its event that the GPU went away, 'lost' (the Worker lives); from the page 'crash'
  // (the Worker is gone), 'silent' (it does not answer and was terminated), 'microphone' or 'files'.
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
