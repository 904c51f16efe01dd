// Audio and video of any other kind -> blocks of one rate, and what was damaged on the way. mediabunny reads the
// containers, and the browser's AudioDecoder the codecs: one packet after another, so that memory does not grow with the
// length. Damage is found as in app/voxtab/native/audio/decoding.py.

import { checkRate } from "../../audio/mono.js";
import { Failure } from "../../failure.js";
import { oggLinks } from "./ogg.js";
import { decodedPackets } from "./packets.js";
import { Places } from "./places.js";
import { restOf } from "./rest.js";

const LIBRARY = new URL("../../mediabunny/mediabunny.js", import.meta.url).href; // tools/build_site puts it there
const CACHE_BYTES = 4 << 20; // of the file, which the library may keep
const DAMAGE_SECONDS = 0.03; // less is not told: a person does not hear it, and tags between frames count as much
const SAME_PLACE_SECONDS = 1; // damage that is closer together is one place for a person
const GAP_SECONDS = 0.1; // timestamps that differ less are rounded
const CUT_SECONDS = 0.5; // a file that is this much shorter than its header says is cut off
const MOST_DAMAGE = 10; // seconds in front of the first that can be decoded: more is no audio
const ESTIMATE_PACKETS = 200; // whose bytes tell how long the whole is
// Their packets are all that the file has, so bytes tell how much is damaged. Elsewhere timestamps do.
const RAW = ["MP3", "ADTS", "FLAC"];
const EXACT = ["FLAC", "MP4", "QuickTime File Format", "Matroska", "WebM"]; // their headers tell the length itself
const TRIMMED = ["MP4", "QuickTime File Format", "Ogg"]; // they tell what of the first and the last packet is audio

// Resolves with {seconds, tracks, damage, blocks()}. seconds: of the whole, an estimate until the last block, or null;
// tracks: what the audio tracks are, if there are several; damage: places where audio is missing, [{at, seconds, pause}],
// complete after the last block. blocks() yields {rate, channels: [Float32Array...]}; call it once. Throws a Failure, of
// kind 'undecodable' if this browser cannot decode the file here.
export async function openMedia(blob, name) {
  const library = await import(LIBRARY).catch(() => {
    throw new Failure(
      "undecodable",
      `${name} could not be read, as a part of this page did not load: reload the page.`,
    );
  });
  const parts = [];
  for (const link of await oggLinks(blob)) parts.push(await Part.open(library, link, name));
  return {
    tracks: parts[0].tracks,
    damage: [],
    get seconds() {
      return parts.reduce((sum, part) => (part.seconds === null ? null : sum + part.seconds), 0);
    },
    async *blocks() {
      let before = 0; // seconds of the parts before
      for (const part of parts) {
        for await (const block of part.blocks()) {
          if (!before && part.damage.some(({ seconds }) => seconds > MOST_DAMAGE)) throw undecodable(name);
          yield block;
        }
        this.damage.push(...part.damage.map((place) => ({ ...place, at: before + place.at })));
        before += part.seconds;
      }
      if (!before) throw new Failure("audio", `${name} contains no sound, or was cut off: choose another file.`);
    },
  };
}

function undecodable(name, codec = null) {
  return new Failure(
    "undecodable",
    codec
      ? `${name} holds ${codec} audio, which this browser cannot decode: convert it to WAV, FLAC or MP3.`
      : `${name} is not audio that this browser can read: use WAV, MP3, M4A, OGG, FLAC, WebM or a video.`,
  );
}

// One container: a file, or one link of a chained Ogg file.
class Part {
  // link: {blob, lost}, of oggLinks().
  static async open(library, link, name) {
    const part = new Part(library, link, name);
    try {
      await part._look(link.blob);
      return part;
    } catch (error) {
      part._input.dispose();
      if (error instanceof Failure && (error.kind !== "undecodable" || part._track)) throw error;
      if ((await link.blob.slice(4, 8).text()) !== "ftyp") throw undecodable(name);
      throw new Failure(
        "undecodable",
        `${name} is an MP4 file without its index, which is written last: it is cut off, or its recording was not ` +
          "finished.",
      );
    }
  }

  constructor(library, { blob, lost }, name) {
    this._library = library;
    this._blob = blob;
    this._lost = lost; // bytes before this part
    this._name = name;
    this._track = null;
    this.damage = [];
    this._decoded = 0; // seconds
  }

  // The first audio track of a file.
  async _open(blob) {
    const { BlobSource, FORMATS, Input } = this._library;
    this._input = new Input({ source: new BlobSource(blob, { maxCacheSize: CACHE_BYTES }), formats: FORMATS });
    const tracks = await this._input.getAudioTracks();
    this._track = tracks[0] ?? null;
    return tracks;
  }

  async _look(blob) {
    const name = this._name;
    const tracks = await this._open(blob);
    const track = this._track;
    if (!track) {
      if (!(await this._input.getVideoTracks()).length) throw undecodable(name);
      throw new Failure("audio", `${name} holds no audio, only video: choose a file with sound.`);
    }
    const id = await track.getInternalCodecId();
    if (["drms", "enca"].includes(id))
      throw new Failure("audio", `${name} is encrypted: save it without copy protection.`);
    checkRate(await track.getSampleRate(), name);
    this._codec = (await track.getCodec()) ?? String(id);
    if (!(await track.canDecode())) throw undecodable(name, this._codec);
    this.tracks = tracks.length > 1 ? await Promise.all(tracks.map(described)) : [];
    this._format = (await this._input.getFormat()).name;
    this._raw = RAW.includes(this._format);
    this._packets = new this._library.EncodedPacketSink(track);
    this.seconds = (await this._length()) || null;
    this._told = EXACT.includes(this._format) ? this.seconds : 0;
    // When the recording begins and ends: a decoder gives whole packets, of which the first may begin before it.
    this._start = TRIMMED.includes(this._format) ? 0 : -Infinity;
    this._end = TRIMMED.includes(this._format) ? await track.computeDuration() : Infinity;
  }

  // How long the file is, as far as can be told without reading it.
  async _length() {
    const told = await this._track.getDurationFromMetadata();
    if (this._format === "FLAC") return told;
    if (!this._raw) {
      const first = Math.max(0, await this._track.getFirstTimestamp());
      const computed = await this._track.computeDuration(); // until its last packet
      const isAlone = (await this._input.getTracks()).length === 1;
      return Math.max(computed, isAlone && EXACT.includes(this._format) ? told : 0) - first;
    }
    const bytes = await mp3Bytes(this._blob);
    if (told && Math.abs(bytes - this._blob.size) < 0.05 * this._blob.size) return told;
    let [seconds, size, count] = [0, 0, 0];
    for await (const packet of this._packets.packets()) {
      seconds += packet.duration;
      size += packet.byteLength;
      if (++count === ESTIMATE_PACKETS) break;
    }
    return count < ESTIMATE_PACKETS ? seconds : (seconds * this._blob.size) / size;
  }

  async *blocks() {
    const places = new Places(this._blob);
    let bytes = 0; // of packets that were decoded
    let lost = this._lost; // bytes since the last of them
    let bad = 0; // seconds of packets since then that could not be decoded
    let expected = null; // timestamp of the next one
    let before = null; // the packet before
    for await (const { packet, sample } of this._samples(places)) {
      if (this._raw) lost += await places.skipped(packet.data);
      if (!sample) {
        lost += packet.byteLength;
        bad += packet.duration;
        continue;
      }
      bytes += packet.byteLength;
      const { sampleRate: rate, numberOfFrames } = sample;
      checkRate(rate, this._name);
      const gap = expected === null ? 0 : packet.timestamp - expected;
      if (this._raw || expected === null) this._note((lost * (this._decoded + numberOfFrames / rate)) / bytes);
      else if (bad) this._note(Math.max(gap, bad));
      else if (gap > GAP_SECONDS) {
        // A gap without any bytes is a pause of the recording.
        if (before.data) await places.skipped(before.data);
        const between = before.data ? await places.skipped(packet.data) : 0;
        this._note(gap, between < (gap * bytes) / this._decoded / 2);
      }
      [lost, bad, before] = [0, 0, packet];
      expected = packet.timestamp + numberOfFrames / rate;
      const first = Math.max(0, Math.round((this._start - packet.timestamp) * rate));
      const last = Math.min(numberOfFrames, Math.round((this._end - packet.timestamp) * rate));
      const channels = first < last ? floats(sample, first, last - first) : null;
      sample.close();
      if (!channels) continue;
      this._decoded += channels[0].length / rate;
      yield { rate, channels };
    }
    this._input.dispose();
    await this._noteEnd(places, bytes, lost, bad);
    this.seconds = this._decoded;
  }

  // {packet, sample} of each packet; sample: AudioData, or null if the packet could not be decoded.
  async *_samples(places) {
    if (/^pcm-|law$/.test(this._codec)) {
      for await (const sample of new this._library.AudioSampleSink(this._track).samples()) {
        const { timestamp, duration } = sample;
        yield { packet: { timestamp, duration, byteLength: sample.allocationSize({ planeIndex: 0 }) }, sample };
      }
      return;
    }
    const config = await this._track.getDecoderConfig();
    for (let packets = this._packets; packets; packets = await this._rest(places)) {
      let last = null;
      for await (const decoded of decodedPackets(packets.packets(), config)) {
        last = decoded.packet;
        yield decoded;
      }
      if (!last || (!this._raw && this._missing() < CUT_SECONDS)) return;
      if (!this._raw) await places.skipped(last.data);
    }
  }

  // The packets behind damage at which the library has ended; null if there are none.
  async _rest(places) {
    const rest = await restOf(this._blob, this._format, places);
    if (!rest) return null;
    this._input.dispose();
    await this._open(rest).catch(() => []);
    return this._track ? new this._library.EncodedPacketSink(this._track) : null;
  }

  _note(seconds, pause = false, at = this._decoded) {
    const last = this.damage.at(-1);
    if (last && last.pause === pause && at - last.at < SAME_PLACE_SECONDS) last.seconds += seconds;
    else if (seconds >= DAMAGE_SECONDS) this.damage.push({ at, seconds, pause });
  }

  // What is missing at the end. Tags are usual there.
  async _noteEnd(places, bytes, lost, bad) {
    let missing = bad;
    if (this._raw && bytes) {
      const tail = lost + (await places.behind()) + Math.max(0, (await mp3Bytes(this._blob)) - this._blob.size);
      missing = (tail * this._decoded) / bytes;
    }
    if (this._told) missing = Math.max(missing, this._missing());
    if (missing > CUT_SECONDS) this._note(missing);
  }

  // Seconds that should be there and have not come.
  _missing() {
    return this.damage.reduce((rest, { seconds }) => rest - seconds, this.seconds - this._decoded);
  }
}

async function described(track) {
  const language = await track.getLanguageCode();
  const words = [language === "und" ? null : language, await track.getName(), await track.getCodec()];
  return words.filter(Boolean).join(" ") || "unknown";
}

// WebCodecs' sample formats -> the array's type, and what is subtracted, and divided by. Not by the browser, which
// divides positive int16 by 32767.
const SAMPLE_FORMATS = {
  u8: [Uint8Array, 128, 2 ** 7],
  s16: [Int16Array, 0, 2 ** 15],
  s32: [Int32Array, 0, 2 ** 31],
  f32: [Float32Array, 0, 1],
};

// The channels of `count` frames from the frame `first` on.
function floats(sample, first, count) {
  const [format, planar] = sample.format.split("-");
  const [Type, middle, scale] = SAMPLE_FORMATS[format];
  const channels = sample.numberOfChannels;
  const step = planar ? 1 : channels;
  const copy = (planeIndex) => {
    const values = new Type(count * step);
    sample.copyTo(values, { planeIndex, frameOffset: first, frameCount: count });
    return values;
  };
  const together = planar ? null : copy(0);
  return Array.from({ length: channels }, (_, channel) => {
    const values = together ?? copy(channel);
    const floats = new Float32Array(count);
    for (let i = 0, at = together ? channel : 0; i < count; i++, at += step) floats[i] = (values[at] - middle) / scale;
    return floats;
  });
}

// How long an MP3 file is by the tag in its first frame (Xing or Info); 0 without one.
async function mp3Bytes(blob) {
  const read = async (start, count) => new Uint8Array(await blob.slice(start, start + count).arrayBuffer());
  const head = await read(0, 10);
  const hasId3 = String.fromCharCode(...head.subarray(0, 3)) === "ID3"; // four times seven bits of length before it
  const start = hasId3 ? 10 + ((head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]) : 0;
  const bytes = await read(start, 4096);
  const at = String.fromCharCode(...bytes).search(/Xing|Info/);
  const hasBytes = at > 0 && (bytes[at + 7] & 3) === 3; // flags: it tells the number of frames, and of bytes behind it
  return hasBytes ? new DataView(bytes.buffer).getUint32(at + 12) : 0;
}
