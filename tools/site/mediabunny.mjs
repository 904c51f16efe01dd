// What web/worker/audio/ needs of mediabunny: only this goes into the page.

import { ADTS, FLAC, MATROSKA, MP3, MP4, MPEG_TS, OGG, QTFF, WAVE, WEBM } from "mediabunny";

export { AudioSampleSink, BlobSource, EncodedPacketSink, Input } from "mediabunny";
export const FORMATS = [MP4, QTFF, MATROSKA, WEBM, OGG, MP3, FLAC, WAVE, ADTS, MPEG_TS];
