// Audio and video of any other kind -> blocks of one rate, and what was damaged on the way. mediabunny reads the
// containers, and the browser's AudioDecoder the codecs: one packet after another, so that memory does not grow with the
// length. Damage is found as in app/voxtab/native/decoding.py.

import { checkRate } from "../../audio/mono.js";
import { Failure } from "../../failure.js";
import { oggLinks } from "./ogg.js";
import { decodedPackets } from "./packets.js";
import { Places } from "./places.js";

const LIBRARY = new URL("../../mediabunny/mediabunny.js", import.meta.url).href; // tools/build_site puts it there
const CACHE_BYTES = 4 << 20; // of the file, which the library may keep
const DAMAGE_SECONDS = 0.03; // less is not told: a person does not hear it, and tags between frames count as much
const SAME_PLACE_SECONDS = 1; // damage that is closer together is one place for a person
const GAP_SECONDS = 0.1; // timestamps that differ less are rounded
const CUT_SECONDS = 0.5; // a file that is this much shorter than its header says is cut off
const ESTIMATE_SECONDS = 10; // of audio, after which its bytes tell the length of the whole
// Their packets are all that the file has, so bytes tell how much is damaged. Elsewhere timestamps do.
const RAW = ["MP3", "ADTS", "FLAC"];
const EXACT = ["FLAC", "MP4", "QuickTime File Format", "Matroska", "WebM"]; // their headers tell the length itself
const TRIMMED = ["MP4", "QuickTime File Format", "Ogg"]; // they tell where in the last packet the audio ends

// Resolves with {rate, seconds, tracks, damage, blocks()}. seconds: of the whole, an estimate until the last block;
// tracks: what the audio tracks are, if there are several; damage: places where audio is missing, [{at, seconds, pause}],
// complete after the last block. blocks() yields {rate, channels: [Float32Array...]}; call it once. Throws a Failure, of
// kind 'undecodable' if this browser cannot decode the file here.
export async function openMedia(blob, name) {
  const library = await import(LIBRARY);
  const parts = [];
  for (const link of await oggLinks(blob)) parts.push(await Part.open(library, link, name));
  return {
    rate: parts[0].rate,
    tracks: parts[0].tracks,
    damage: [],
    get seconds() {
      return parts.reduce((sum, part) => sum + part.seconds, 0);
    },
    async *blocks() {
      let before = 0; // seconds of the parts before
      for (const part of parts) {
        yield* part.blocks();
        this.damage.push(...part.damage.map((place) => ({ ...place, at: before + place.at })));
        before += part.seconds;
      }
      if (!before) throw undecodable(name);
    },
  };
}

export function undecodable(name, codec = null) {
  return new Failure(
    "undecodable",
    codec
      ? `${name} holds ${codec} audio, which this browser cannot decode: convert it to WAV, FLAC or MP3.`
      : `${name} is not audio that this browser can read: use WAV, MP3, M4A, OGG, FLAC, WebM or a video.`,
  );
}

// One container: a file, or one link of a chained Ogg file.
class Part {
  static async open(library, blob, name) {
    const { BlobSource, FORMATS, Input } = library;
    const input = new Input({ source: new BlobSource(blob, { maxCacheSize: CACHE_BYTES }), formats: FORMATS });
    try {
      const part = new Part(library, blob, name, input);
      await part._look();
      return part;
    } catch (error) {
      input.dispose();
      throw error instanceof Failure ? error : undecodable(name);
    }
  }

  constructor(library, blob, name, input) {
    this._library = library;
    this._blob = blob;
    this._name = name;
    this._input = input;
    this.damage = [];
    this._decoded = 0; // seconds
  }

  async _look() {
    const tracks = await this._input.getAudioTracks();
    const name = this._name;
    if (!tracks.length) {
      if (!(await this._input.getVideoTracks()).length) throw undecodable(name);
      throw new Failure("audio", `${name} holds no audio, only video: choose a file with sound.`);
    }
    const [track] = tracks;
    if (["drms", "enca"].includes(await track.getInternalCodecId()))
      throw new Failure("audio", `${name} is encrypted: save it without copy protection.`);
    this.rate = await track.getSampleRate();
    checkRate(this.rate, name);
    this._codec = await track.getCodec();
    if (!(await track.canDecode())) throw undecodable(name, this._codec);
    this.tracks = tracks.length > 1 ? await Promise.all(tracks.map(described)) : [];
    this._track = track;
    this._format = (await this._input.getFormat()).name;
    this._raw = RAW.includes(this._format);
    // What the metadata of MP3 and ADTS tell is an estimate; to compute it, the whole file would be read.
    this.seconds = (await (this._raw ? track.getDurationFromMetadata() : track.computeDuration())) ?? 0;
    this._told = EXACT.includes(this._format) ? this.seconds : 0;
    this._end = TRIMMED.includes(this._format) ? this.seconds : Infinity;
  }

  async *blocks() {
    const places = this._raw ? new Places(this._blob) : null;
    let bytes = 0; // of packets that were decoded
    let lost = 0; // bytes since the last of them
    let bad = 0; // seconds of packets since then that could not be decoded
    let expected = null; // timestamp of the next one
    for await (const { packet, sample } of this._samples()) {
      if (places) lost += await places.skipped(packet.data);
      if (!sample) {
        lost += packet.byteLength;
        bad += packet.duration;
        continue;
      }
      if (this._raw) this._note(bytes ? (lost * this._decoded) / bytes : 0);
      else if (expected !== null) this._noteGap(packet.timestamp - expected, bad);
      [lost, bad] = [0, 0];
      bytes += packet.byteLength;
      const { sampleRate: rate, numberOfFrames } = sample;
      checkRate(rate, this._name);
      expected = packet.timestamp + numberOfFrames / rate;
      // A decoder gives whole packets: the first may begin before the recording, and the last end after it.
      const first = Math.max(0, Math.round(-packet.timestamp * rate));
      const last = Math.min(numberOfFrames, Math.round((this._end - packet.timestamp) * rate));
      const channels = first < last ? floats(sample, first, last - first) : null;
      sample.close();
      if (!channels) continue;
      this._decoded += channels[0].length / rate;
      if (places && !this._told && this._decoded > ESTIMATE_SECONDS)
        this.seconds = (this._decoded * this._blob.size) / places.end;
      yield { rate, channels };
    }
    this._input.dispose();
    await this._noteEnd(places, bytes, lost, bad);
    this.seconds = this._decoded;
  }

  // {packet, sample} of each packet; sample: AudioData, or null if the packet could not be decoded.
  async *_samples() {
    if (/^pcm-|law$/.test(this._codec)) {
      for await (const sample of new this._library.AudioSampleSink(this._track).samples()) {
        const { timestamp, duration } = sample;
        yield { packet: { timestamp, duration, byteLength: sample.allocationSize({ planeIndex: 0 }) }, sample };
      }
    } else {
      const sink = new this._library.EncodedPacketSink(this._track);
      yield* decodedPackets(sink.packets(), await this._track.getDecoderConfig());
    }
  }

  _note(seconds, pause = false, at = this._decoded) {
    const last = this.damage.at(-1);
    if (last && last.pause === pause && at - last.at < SAME_PLACE_SECONDS) last.seconds += seconds;
    else if (seconds >= DAMAGE_SECONDS) this.damage.push({ at, seconds, pause });
  }

  // gap: what the timestamps leave out. Without bad packets it is a pause of the recording; Ogg has no pauses.
  _noteGap(gap, bad) {
    if (bad) this._note(Math.max(gap, bad));
    else if (gap > GAP_SECONDS) this._note(gap, this._format !== "Ogg");
  }

  // What is missing at the end. Tags are usual there.
  async _noteEnd(places, bytes, lost, bad) {
    let missing = places ? 0 : bad;
    if (places && bytes) {
      const tail = lost + (await places.behind()) + Math.max(0, (await mp3Bytes(this._blob)) - this._blob.size);
      missing = (tail * this._decoded) / bytes;
    }
    if (this._told) {
      const noted = this.damage.reduce((sum, { seconds }) => sum + seconds, 0);
      missing = Math.max(missing, this._told - this._decoded - noted);
    }
    if (missing > CUT_SECONDS) this._note(missing);
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
