// Says so if parts of the page do not load. No module, because browsers load none from a file:// address.

addEventListener(
  "error",
  ({ target }) => {
    if (!(target instanceof HTMLScriptElement)) return;
    const tell = () => {
      document.documentElement.dataset.state = "error";
      document.getElementById("status").textContent =
        "Parts of this page did not load: open it from a server, such as voxtab serve, and reload it.";
    };
    if (document.readyState === "complete") tell();
    else addEventListener("load", tell);
  },
  true,
);
