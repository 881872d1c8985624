// Renews the part of the page that tells of progress, and looks at a file's size before it is sent.
"use strict";
(function renew() {
  const live = document.getElementById("live");
  if (!live || !live.hasAttribute("data-running")) return;
  setTimeout(async () => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      const busy = live.contains(document.activeElement) && fresh?.hasAttribute("data-running");
      if (answer.ok && fresh && !busy) {
        const [was, is] = [live, fresh].map((part) => part.querySelector("#state")?.textContent);
        const news = document.getElementById("news");
        if (news && was !== is) news.textContent = is;
        live.replaceWith(fresh);
      }
    } catch { /* the service is away for a moment: ask again */ }
    renew();
  }, 2000);
})();

const form = document.querySelector("form[data-most]");
form?.addEventListener("submit", (event) => {
  const file = form.elements.file.files[0];
  const large = Boolean(file) && file.size > Number(form.dataset.most);
  document.getElementById("too-large").hidden = !large;
  if (large) return event.preventDefault();
  const button = form.querySelector("button");
  button.dataset.said = button.textContent;
  button.textContent = "Mengunggah…";
  button.disabled = true;
});
addEventListener("pageshow", () => {
  const button = form?.querySelector("button[data-said]");
  if (button) [button.textContent, button.disabled] = [button.dataset.said, false];
});
