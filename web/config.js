// What the page needs to know of the engine. tests/web/test_config.py compares it: the model's numbers with
// app/voxtab/config.py, the endings with app/voxtab/native/cli/inputs.py.

export const SAMPLE_RATE = 16000; // samples per second
export const SAMPLES_PER_TOKEN = 1280;
export const LOOKAHEAD_SAMPLES = 40; // token k needs the audio up to sample 1280 (k + 1) + 40
export const RIGHT_SILENCE_EXTRA_TOKENS = 11; // after the delay: silence in which the text of the last words comes
export const DELAYS_MS = [...Array.from({ length: 15 }, (_, i) => 80 * (i + 1)), 2400];
export const DEFAULT_DELAY_MS = 480;

// Of names of audio files, and of videos with sound.
export const AUDIO_ENDINGS = [
  ..."3gp aac ac3 aif aifc aiff amr ape asf au avi caf dts flac flv m2ts m4a m4b m4v mka mkv mov mp2".split(" "),
  ..."mp3 mp4 mpeg mpg mts oga ogg ogv opus ra rm spx ts tta voc w64 wav weba webm wma wmv wv".split(" "),
];
