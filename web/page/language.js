// Chooses the page's language before it is painted: the link's (?lang=hi), the one that the user chose, or the first of the
// browser's that there is a table of in web/words. No module, because modules run only later.

{
  const root = document.documentElement;
  const languages = /** @type {any} */ (document.querySelector('meta[name="languages"]')).content.split(" ");

  // "hi-IN" is "hi", if it has no table of its own.
  const known = (wish) => {
    const parts = String(wish).split("-");
    for (let count = parts.length; count > 0; count--) {
      const start = parts.slice(0, count).join("-").toLowerCase();
      const found = languages.find((language) => language.toLowerCase() === start);
      if (found) return found;
    }
  };

  let chosen = null;
  try {
    chosen = JSON.parse(localStorage.getItem("voxtab.language")); // see remembered.js
  } catch {
    // The browser keeps nothing for this page.
  }
  const wishes = [new URLSearchParams(location.search).get("lang"), chosen, ...navigator.languages];
  root.dataset.preferred = navigator.languages.map(known).find(Boolean) ?? "en"; // when nothing was chosen
  root.lang = wishes.map(known).find(Boolean) ?? "en";
  const locale = /** @type {any} */ (new Intl.Locale(root.lang));
  root.dir = (locale.getTextInfo?.() ?? locale.textInfo)?.direction ?? "ltr";
  if (root.lang !== "en") root.dataset.words = "coming"; // the page has English words: style.css hides them meanwhile
  for (const language of new Set(["en", root.lang])) {
    const table = document.createElement("link");
    Object.assign(table, { rel: "preload", as: "fetch", crossOrigin: "anonymous", href: `words/${language}.json` });
    document.head.append(table);
  }
}
