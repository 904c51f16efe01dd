// Names that the JavaScript of web/ and tests/web/ gets from elsewhere.

interface Window {
  voxtab: { result: any; tokens: any };
}
declare const script: any; // what a test says to fake_worker.js
