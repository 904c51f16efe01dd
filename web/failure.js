// What went wrong, for the user.

export class Failure extends Error {
  // `kind` is the protocol's; the message is for the user.
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
