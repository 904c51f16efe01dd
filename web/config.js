// The model's numbers that the page needs. They repeat app/voxtab/config.py, as tests/web/test_config.py checks.

export const SAMPLE_RATE = 16000; // samples per second
export const SAMPLES_PER_TOKEN = 1280;
export const LOOKAHEAD_SAMPLES = 40; // token k needs the audio up to sample 1280 (k + 1) + 40
export const DELAYS_MS = [...Array.from({ length: 15 }, (_, i) => 80 * (i + 1)), 2400];
export const DEFAULT_DELAY_MS = 480;
