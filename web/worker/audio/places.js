// Where packets lie in a file that has nothing but packets: what is between them was damaged.

const WINDOW = 1 << 20; // bytes that are read at once
const TAGS = ["Xing", "Info", "VBRI", "LAME", "APETAGEX", "ID3", "TAG"]; // not damage: of this file or of one joined to it

export class Places {
  constructor(blob) {
    this._blob = blob;
    this.end = 0; // of the last packet
    this._found = false; // a packet
    this._start = 0; // of the window
    this._window = new Uint8Array(0);
  }

  // How many damaged bytes lie between the last packet and this one, given its bytes.
  async skipped(data) {
    for (let from = this.end; from < this._blob.size; ) {
      const window = await this._from(from, data.length);
      const at = indexOf(window, data);
      if (at < 0) {
        from += Math.max(1, window.length - data.length + 1);
        continue;
      }
      const before = from + at - this.end;
      const isDamage = this._found && before > 0 && !(await this._isTag(this.end, before));
      this.end = from + at + data.length;
      this._found = true;
      return isDamage ? before : 0;
    }
    return 0; // the reader has put the packet together
  }

  // How many damaged bytes follow the last packet.
  async behind() {
    const behind = this._blob.size - this.end;
    return behind > 0 && !(await this._isTag(this.end, behind)) ? behind : 0;
  }

  // The file's bytes from `at` on, at least `count` if it has them.
  async _from(at, count) {
    const offset = at - this._start;
    if (offset < 0 || offset + count > this._window.length) {
      this._start = at;
      this._window = new Uint8Array(await this._blob.slice(at, at + Math.max(WINDOW, count)).arrayBuffer());
    }
    return this._window.subarray(at - this._start);
  }

  async _isTag(at, count) {
    const bytes = (await this._from(at, Math.min(count, 4096))).subarray(0, Math.min(count, 4096));
    const text = String.fromCharCode(...bytes);
    return TAGS.some((tag) => text.includes(tag));
  }
}

function indexOf(window, data) {
  if (data.length === 0) return 0;
  for (let at = window.indexOf(data[0]); at >= 0; at = window.indexOf(data[0], at + 1)) {
    if (at + data.length > window.length) return -1;
    let i = 1;
    while (i < data.length && window[at + i] === data[i]) i++;
    if (i === data.length) return at;
  }
  return -1;
}
