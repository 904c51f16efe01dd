// “Check this model”: whether the open model does on this machine what it should, as `voxtab verify` finds out at its end;
// and a report of it that can be copied.

import { bundledClips } from "./clips.js";
import { engine } from "./engine.js";
import { copy } from "./reading.js";
import { allows, enter, onPhase, state } from "./state.js";
import { settle, throwIfStopping } from "./transcribing.js";
import * as view from "./view.js";
import { facts, number, ofEngine, onLanguage, percent, put, size, wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

let shown = null; // the last report

async function check() {
  if (!allows("takeAudio") || state.phase !== "ready") return;
  enter("measuring");
  view.error(null);
  element("check-found").hidden = true;
  element("checking").hidden = false;
  view.state("transcribing", wording("check.checking"));
  let failure = null;
  try {
    const clips = (await bundledClips()).map(({ file, reference, samples }) => ({ name: file, reference, samples }));
    throwIfStopping();
    const found = await engine.call(
      "check",
      { clips },
      clips.map(({ samples }) => samples.buffer),
    );
    shown = { ...found, browser: navigator.userAgent };
    window.voxtab.result = shown;
    show(shown);
    view.state("done", wording("check.checked"));
  } catch (error) {
    failure = error;
  }
  element("checking").hidden = true;
  await settle(failure);
  if (!failure) element("check-verdict").focus(); // brings the report into view, and is read to screen readers
}

function show(report) {
  const verdict = report.problem ? wording("check.wrong") : wording("check.right");
  const sentences = lines(report).join("\n");
  const write = (text) => put(element("check-report"), text);
  const press =
    (text, shown = text) =>
    ({ target }) => {
      write(shown);
      copy(text, element("check-found"), target);
    };
  element("check-verdict").textContent = verdict;
  element("copy-check-text").onclick = press(`${verdict}\n${sentences}`, sentences);
  element("copy-check-json").onclick = press(JSON.stringify(report, null, 1));
  write(sentences);
  element("check-found").hidden = false;
}

// The report in sentences. What each figure is, app/voxtab/check.py says.
function lines(report) {
  const { model, problem, clips, pads, codes, types, kernel_error, kernel_error_limit, wrong_variants } = report;
  const { gpu, voxtab, date, browser } = report;
  return [
    problem ? ofEngine(problem) : wording("check.hears", { model }),
    ...clips.map(({ audio, text, reference, word_errors }) =>
      wording(word_errors ? "check.clip" : "check.clip_right", {
        audio,
        text: text.trim(),
        reference,
        count: word_errors,
      }),
    ),
    clips.some(({ word_errors }) => word_errors) && wording("check.digits"),
    wording("check.pads", { share: percent(pads) }),
    wording("check.types", {
      types: facts(Object.entries(types).map(([type, bytes]) => `${type} ${size(bytes)}`)),
    }),
    codes && wording("check.codes", { codes: codes.map((share) => number(100 * share, 1)).join(" ") }),
    wording("check.kernels", {
      variant: report.variants.linear,
      error: String(kernel_error),
      limit: String(kernel_error_limit),
    }),
    wrong_variants.length && wording("check.wrong_kernels", { names: facts(wrong_variants) }),
    wording("check.machine", { voxtab, date, gpu: gpu.description || `${gpu.vendor} ${gpu.device}`, browser }),
  ].filter(Boolean);
}

onLanguage(() => {
  if (!element("check-found").hidden) show(shown);
});

element("check-model").addEventListener("click", check);
onPhase(() => {
  if (state.phase === "ready") element("check").hidden = false;
  else if (["opening", "closed"].includes(state.phase)) element("check").hidden = element("check-found").hidden = true;
  element("check-model").disabled = state.phase !== "ready";
});
