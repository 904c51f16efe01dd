// Packets -> samples, through the browser's AudioDecoder. At a damaged packet it gives up, and a new one goes on behind it;
// or, as with FLAC in Chromium 156, it leaves the packet out without a word.

const AHEAD = 32; // packets in the decoder at once
const LARGEST_RUN = 1000; // packets that cannot be decoded, one after another: there is nothing more to decode

// packets: an async iterator of mediabunny's EncodedPacket. Yields {packet, sample} in their order; sample: AudioData,
// which the caller closes, or null for a packet that cannot be decoded.
export async function* decodedPackets(packets, config) {
  /** @type {AudioDecoder} */
  let decoder = null;
  const waiting = []; // packets in the decoder, whose samples have not come
  const samples = []; // that have come
  let failed = false;
  let ended = false; // no more packets
  let flushed = false; // no more samples
  let run = 0;
  let wake = () => {};
  const decode = (packet) => {
    if (decoder.state === "configured") decoder.decode(packet.toEncodedAudioChunk());
  };
  const flush = () =>
    decoder.flush().then(
      () => {
        flushed = true;
        wake();
      },
      () => {}, // it has failed
    );
  const begin = () => {
    failed = false;
    decoder = new AudioDecoder({
      output: (sample) => {
        samples.push(sample);
        wake();
      },
      error: () => {
        failed = true;
        wake();
      },
    });
    decoder.configure(config);
    waiting.forEach(decode);
    if (ended) flush();
  };
  begin();
  try {
    while (run < LARGEST_RUN) {
      while (!ended && !failed && waiting.length < AHEAD) {
        const { value, done } = await packets.next();
        ended = done;
        if (!done) {
          waiting.push(value);
          decode(value);
        } else if (decoder.state === "configured") flush();
      }
      if (samples.length) {
        run = 0;
        yield { packet: waiting.shift(), sample: samples.shift() };
      } else if (failed) {
        run++;
        yield { packet: waiting.shift(), sample: null };
        begin();
      } else if (flushed) {
        for (const packet of waiting.splice(0)) yield { packet, sample: null };
        return;
      } else {
        await new Promise((resolve) => {
          wake = () => resolve();
        });
      }
    }
  } finally {
    for (const sample of samples) sample.close();
    if (decoder.state !== "closed") decoder.close();
    await packets.return();
  }
}
