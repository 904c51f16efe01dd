// Says so if parts of the page do not load. No module, because browsers load none from a file:// address.

{
  const tell = () => {
    const show = () => {
      document.documentElement.dataset.state = "error";
      document.getElementById("status").textContent =
        "Parts of this page did not load: open it from a server, such as voxtab serve, and reload it.";
    };
    if (document.readyState === "complete") show();
    else addEventListener("load", show);
  };
  addEventListener("error", ({ target }) => target instanceof HTMLScriptElement && tell(), true);
  addEventListener("unloaded", tell); // main.js did not: see first.js
}
