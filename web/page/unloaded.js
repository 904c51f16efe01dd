// Says so if parts of the page do not load. No module, because browsers load none from a file:// address.

{
  const tell = () => {
    const show = () => {
      document.documentElement.dataset.state = "error";
      const status = document.getElementById("status");
      status.textContent = status.dataset.unloaded;
    };
    if (document.readyState === "complete") show();
    else addEventListener("load", show);
  };
  addEventListener("error", ({ target }) => target instanceof HTMLScriptElement && tell(), true);
  addEventListener("unloaded", tell); // main.js did not: see first.js
}
