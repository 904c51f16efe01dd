// Where packets lie in a file: what is between them was damaged, if the file has nothing but packets.

const WINDOW = 1 << 20; // bytes that are read at once
const TAGS = ["Xing", "Info", "VBRI", "LAME", "APETAGEX", "ID3", "TAG", "fLaC"]; // of this file or of one joined to it
const TAG_BYTES = 4096; // in which one of them is found

export class Places {
  constructor(blob) {
    this._blob = blob;
    this.begin = 0; // of the first packet
    this.end = 0; // of the last packet
    this.isFound = false; // a packet
    this._start = 0; // of the window
    this._window = new Uint8Array(0);
  }

  // How many damaged bytes lie between the last packet and this one, given its bytes.
  async skipped(data) {
    const window = await this._from(this.end, data.length);
    const isNext = data.every((byte, i) => byte === window[i]);
    const at = isNext ? this.end : await findBytes(this._blob, this.end, data);
    if (at < 0) return 0; // the reader has put the packet together
    const before = at - this.end;
    const isDamage = this.isFound && before > 0 && !(await this._isTag(this.end, before));
    if (!this.isFound) this.begin = at;
    this.isFound = true;
    this.end = at + data.length;
    return isDamage ? before : 0;
  }

  // How many damaged bytes follow the last packet.
  async behind() {
    const behind = this._blob.size - this.end;
    return behind > 0 && !(await this._isTag(this.end, behind)) ? behind : 0;
  }

  // The file's bytes from `at` on, at least `count` if it has them.
  async _from(at, count) {
    if (at < this._start || at + count > this._start + this._window.length) {
      this._start = at;
      this._window = await read(this._blob, at, Math.max(WINDOW, count));
    }
    return this._window.subarray(at - this._start);
  }

  async _isTag(at, count) {
    const size = Math.min(count, TAG_BYTES);
    const text = String.fromCharCode(...(await this._from(at, size)).subarray(0, size));
    return TAGS.some((tag) => text.includes(tag));
  }
}

// Where in the blob the bytes come next, from `from` on; -1: nowhere.
export async function findBytes(blob, from, bytes) {
  for (let start = from; start + bytes.length <= blob.size; start += WINDOW) {
    const window = await read(blob, start, WINDOW + bytes.length - 1);
    for (let at = window.indexOf(bytes[0]); at >= 0; at = window.indexOf(bytes[0], at + 1)) {
      if (at + bytes.length > window.length) break;
      let i = 1;
      while (i < bytes.length && window[at + i] === bytes[i]) i++;
      if (i >= bytes.length) return start + at;
    }
  }
  return -1;
}

async function read(blob, start, count) {
  return new Uint8Array(await blob.slice(start, start + count).arrayBuffer());
}
