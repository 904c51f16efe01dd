"""web/worker/gpu.js in browsers that have no GPU for it, without Python."""

import pytest


@pytest.mark.parametrize(
    "patch, words",
    [
        ("Object.defineProperty(navigator, 'gpu', { value: undefined })", "has no WebGPU"),
        ("navigator.gpu.requestAdapter = async () => null", "found no GPU"),
        ("GPUAdapter.prototype.requestDevice = async () => { throw new Error('busy') }", "could not be opened (busy)"),
        ("Object.defineProperty(self, 'isSecureContext', { value: false })", "https:// or localhost"),
    ],
)
@pytest.mark.parametrize("prepared", [True, False])
def test_no_gpu(browser, url, patch, words, prepared):
    """Also if `prepare` has failed before."""
    page = browser.new_page()
    page.goto(f"{url}/style.css")
    failure = page.evaluate(
        """async ([patch, prepared]) => {
            eval(patch);
            const gpu = await import("./modules/worker/gpu.js");
            if (prepared) gpu.prepare();
            return gpu.open([], () => {}).catch(({ kind, message }) => ({ kind, message }));
        }""",
        [patch, prepared],
    )
    page.close()
    assert failure["kind"] == "device" and words in failure["message"]
